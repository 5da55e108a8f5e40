import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { OrganizationKeys } from "../../mixins/encryption/organization-keys.ts";
import { SealedBox } from "../../mixins/encryption/sealed-box.ts";
import { inspect } from "../support/database.ts";
import { startTestNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let url: string;
beforeAll(async () => {
  node = await startTestNode({ SERVICES: "events" });
  url = node.databases[0] as string;
});
afterAll(() => node.stop());

const newMasterKey = () => randomBytes(32).toString("base64");
/** What a process that was started with these keys has. */
const keysUnder = (...masterKeys: string[]) =>
  new OrganizationKeys(node.runtime.database, new SealedBox(masterKeys));
const context = { table: "channels", column: "token", row: uuidv7() };
const stored = async (organizationId: string) =>
  (
    await inspect<{ wrapped: Buffer; master_key_id: string }>(
      url,
      "SELECT wrapped, master_key_id FROM control.organization_keys WHERE organization_id = $1",
      [organizationId],
    )
  )[0];
const forget = () => inspect(url, "TRUNCATE control.organization_keys");

test("processes that need an organization's key at once make one", async () => {
  const [master, organizationId] = [newMasterKey(), uuidv7()];
  const ciphers = await Promise.all(Array.from({ length: 20 }, () => keysUnder(master).of(organizationId)));
  const sealed = ciphers.map((cipher, index) => cipher.seal(context, `secret ${index}`));
  for (const cipher of ciphers)
    expect(sealed.map((bytes) => cipher.open(context, bytes))).toEqual(
      ciphers.map((_, index) => `secret ${index}`),
    );
});

test("what one organization sealed does not open for another, nor does its key when it is put in the other's place", async () => {
  const [mine, theirs] = [uuidv7(), uuidv7()];
  const master = newMasterKey();
  const sealed = (await keysUnder(master).of(mine)).seal(context, "secret");
  const other = await keysUnder(master).of(theirs);
  expect(() => other.open(context, sealed)).toThrow(/does not open/);
  await inspect(
    url,
    `UPDATE control.organization_keys SET wrapped = (SELECT wrapped FROM control.organization_keys WHERE organization_id = $1)
     WHERE organization_id = $2`,
    [mine, theirs],
  );
  await expect(keysUnder(master).of(theirs)).rejects.toThrow(/No key in MASTER_KEY opens/);
});

test("the data key is not stored as it is, and a wrapped one that was changed does not open", async () => {
  const [master, organizationId] = [newMasterKey(), uuidv7()];
  await keysUnder(master).of(organizationId);
  const { wrapped } = (await stored(organizationId)) as { wrapped: Buffer };
  const dataKey = new SealedBox([master]).open(wrapped, `organization_keys|wrapped|${organizationId}`);
  expect(wrapped.includes(dataKey)).toBe(false);
  wrapped[40] = (wrapped[40] as number) ^ 1;
  await inspect(url, "UPDATE control.organization_keys SET wrapped = $2 WHERE organization_id = $1", [organizationId, wrapped]); // prettier-ignore
  await expect(keysUnder(master).of(organizationId)).rejects.toThrow(/No key in MASTER_KEY opens/);
});

test("an organization's transaction sees no other's key", async () => {
  const [mine, theirs] = [uuidv7(), uuidv7()];
  for (const organizationId of [mine, theirs]) await node.runtime.organizationKeys.of(organizationId);
  const rows = await node.runtime.database.transaction({ control: mine }, (tx) =>
    tx.query({ text: "SELECT organization_id FROM control.organization_keys" }),
  );
  expect(rows).toEqual([{ organization_id: mine }]);
});

describe("when MASTER_KEY is rotated", () => {
  test("what was sealed opens before, during and after, and the old key is needed no more", async () => {
    await forget();
    const [old, fresh] = [newMasterKey(), newMasterKey()];
    const organizations = Array.from({ length: 5 }, () => uuidv7());
    const sealed = new Map<string, Buffer>();
    for (const organizationId of organizations)
      sealed.set(organizationId, (await keysUnder(old).of(organizationId)).seal(context, organizationId));
    const opensAll = async (...masterKeys: string[]) => {
      const keys = keysUnder(...masterKeys);
      for (const [organizationId, bytes] of sealed)
        expect((await keys.of(organizationId)).open(context, bytes)).toBe(organizationId);
    };
    await opensAll(old, fresh);
    await opensAll(fresh, old);
    await expect(opensAll(fresh)).rejects.toThrow(/prepended/);
    expect(await keysUnder(fresh, old).rewrap()).toBe(5);
    await opensAll(fresh);
    await opensAll(old, fresh);
    await expect(opensAll(old)).rejects.toThrow(/No key in MASTER_KEY opens/);
    expect(await keysUnder(fresh, old).rewrap()).toBe(0);
  });

  test("rewrapping many at once from several processes wraps each once", async () => {
    await forget();
    const [old, fresh] = [newMasterKey(), newMasterKey()];
    const box = new SealedBox([old]);
    const ids = Array.from({ length: 1_200 }, () => uuidv7());
    await inspect(
      url,
      `INSERT INTO control.organization_keys (organization_id, wrapped, master_key_id)
       SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::text[])`,
      [
        ids,
        ids.map((id) => box.seal("k", `organization_keys|wrapped|${id}`)),
        ids.map(() => box.newestKeyId),
      ],
    );
    const counts = await Promise.all([1, 2, 3].map(() => keysUnder(fresh, old).rewrap()));
    expect(counts.reduce((sum, count) => sum + count)).toBe(1_200);
    const left = await inspect(url, "SELECT DISTINCT master_key_id FROM control.organization_keys");
    expect(left).toEqual([{ master_key_id: new SealedBox([fresh]).newestKeyId }]);
  });

  test("a key that none of the listed ones opens is left as it is, and said", async () => {
    await forget();
    const organizationId = uuidv7();
    await keysUnder(newMasterKey()).of(organizationId);
    const before = await stored(organizationId);
    await expect(keysUnder(newMasterKey()).rewrap()).rejects.toThrow(organizationId);
    expect(await stored(organizationId)).toEqual(before);
  });

  test("the job does it", async () => {
    await forget();
    const organizationId = uuidv7();
    await node.runtime.organizationKeys.of(organizationId);
    await inspect(url, "UPDATE control.organization_keys SET master_key_id = 'older'");
    await node.broker.call(
      "events.rewrapKeys",
      { scheduledFor: new Date().toISOString() },
      { meta: { role: "system" } },
    );
    expect(await stored(organizationId)).toMatchObject({
      master_key_id: node.runtime.sealedBox.newestKeyId,
    });
  });
});
