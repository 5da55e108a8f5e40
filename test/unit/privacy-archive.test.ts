import { buffer } from "node:stream/consumers";
import { expect, test } from "@jest/globals";
import { zipSections } from "../../services/privacy/archive.ts";

async function* batches(...lists: unknown[][]): AsyncGenerator<unknown[]> {
  for (const list of lists) yield await Promise.resolve(list);
}

test("an archive tells what each of its files holds, the empty ones too", async () => {
  const sections = [
    { name: "full", records: batches([{ a: 1 }, { a: 2 }], [], [{ a: 3 }]) },
    { name: "empty", records: batches() },
  ];
  const { stream, digests } = zipSections(sections, { about: "test" });
  const zip = await buffer(stream);
  expect(zip.subarray(0, 4).toString("latin1")).toBe("PK\u0003\u0004");
  expect(digests).toMatchObject([
    { name: "full.json", records: 3, bytes: Buffer.byteLength('[\n{"a":1},\n{"a":2},\n{"a":3}\n]\n') },
    { name: "empty.json", records: 0, bytes: Buffer.byteLength("[\n]\n") },
  ]);
});

test("an archive fails when a section does, rather than being short", async () => {
  const broken = async function* (): AsyncGenerator<unknown[]> {
    yield await Promise.resolve([1]);
    throw new Error("the service is gone");
  };
  const { stream } = zipSections([{ name: "broken", records: broken() }], {});
  await expect(buffer(stream)).rejects.toThrow("the service is gone");
});
