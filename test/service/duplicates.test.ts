import { beforeAll, describe, expect, test } from "@jest/globals";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import type { Client } from "../support/client.ts";
import { kindsThat, made, recordWorld, unique, type Body } from "../support/records.ts";

interface Likeness {
  record: Body;
  matchedBy: string[];
  confidence: number;
  reasons: { field: string; weight: number; detail: string }[];
}

let admin: Client;
beforeAll(async () => {
  ({ admin } = await recordWorld("Duplicates"));
});

const duplicatesOf = async (path: string, { id }: Body) =>
  ((await admin.get(`${path}/${id}/duplicates`)).body as { data: Likeness[] }).data;

const keyOf = ({ fields }: AnyKind) => ["email", "domain"].find((key) => key in fields) ?? "";

describe.each(kindsThat("duplicates").filter(([, kind]) => keyOf(kind) !== ""))("%s", (plural, kind) => {
  const path = `/${plural}`;
  const key = keyOf(kind);
  const [name = ""] = kind.title;
  const value = () => (key === "email" ? `${unique()}@example.com` : `${unique()}.example.com`);

  test("are more likely one where their names agree, and less where they differ, with the reasons", async () => {
    const shared = value();
    const called = unique();
    const one = await made(admin, path, { [key]: shared, [name]: called });
    const same = await made(admin, path, { [key]: shared, [name]: called.toUpperCase() });
    const nameless = await made(admin, path, { [key]: shared });
    const other = await made(admin, path, { [key]: shared, [name]: "Somebody else" });
    const found = await duplicatesOf(path, one);
    expect(found.map(({ record }) => record.id)).toEqual([same.id, nameless.id, other.id]);
    for (const { matchedBy, confidence } of found) {
      expect(matchedBy).toEqual([key]);
      expect(confidence).toBeGreaterThan(0);
      expect(confidence).toBeLessThanOrEqual(1);
    }
    const [first, second, third] = found as [Likeness, Likeness, Likeness];
    expect(first.confidence).toBeGreaterThan(second.confidence);
    expect(second.confidence).toBeGreaterThan(third.confidence);
    expect(first.reasons).toMatchObject([{ field: key }, { field: name, detail: "has the same name" }]);
    expect(third.reasons.at(-1)).toMatchObject({ field: name, detail: `has another ${name}` });
    expect(third.reasons.at(-1)?.weight).toBeLessThan(0);
  });
});

test.each([
  ["leads", "+551187654321", "+5511987654321"],
  ["contacts", "+551187654321", "+5511987654321"],
])(
  "%s: numbers that ring at one phone are one, in whatever form each is stored",
  async (plural, old, now) => {
    const one = await made(admin, `/${plural}`, { phone: old });
    const other = await made(admin, `/${plural}`, { phone: now });
    expect(await duplicatesOf(`/${plural}`, one)).toMatchObject([
      { record: { id: other.id }, matchedBy: ["phone"] },
    ]);
  },
);

test("contacts are alike by any email and any number that they have, WhatsApp's too", async () => {
  const email = `${unique()}@example.com`;
  const digits = `9198${Math.random().toString().slice(2, 10)}`;
  const one = await made(admin, "/contacts", {
    ...{ email: `${unique()}@example.com`, phone: `+${digits}` },
    identities: [{ kind: "email", value: email }],
  });
  const byWhatsApp = await made(admin, "/contacts", { identities: [{ kind: "wa_id", value: digits }] });
  const byEmail = await made(admin, "/contacts", { email });
  const bySecond = await made(admin, "/contacts", {
    ...{ email: `${unique()}@example.com`, identities: [{ kind: "email", value: email }] },
  });
  await made(admin, "/contacts", { email: `${unique()}@example.com` });
  const found = await duplicatesOf("/contacts", one);
  expect(found.map(({ record, matchedBy }) => [record.id, matchedBy])).toEqual([
    [byWhatsApp.id, ["phone"]],
    [byEmail.id, ["email"]],
    [bySecond.id, ["email"]],
  ]);
  expect(found[0]?.reasons[0]?.detail).toContain(`wa_id ${digits}`);
  expect((await duplicatesOf("/contacts", byWhatsApp)).map(({ record }) => record.id)).toEqual([one.id]);
});
