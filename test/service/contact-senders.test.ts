import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { Database } from "../../mixins/database/database.ts";
import { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { Identity } from "../../mixins/values/identity.ts";
import { contactOfSender, contactsByIdentity, moveIdentity } from "../../services/contact-identities.ts";
import { inspect, openDatabase } from "../support/database.ts";
import { unique } from "../support/records.ts";

const organizationId = "01900000-0000-7000-8000-000000000001";
const stranger = "01900000-0000-7000-8000-000000000002";
let url: string;
let database: Database;
let close: () => Promise<void>;
beforeAll(async () => {
  ({ url, database, close } = await openDatabase());
});
afterAll(() => close());

/** Runs work as one transaction of an organization. */
async function unit<T>(work: (tx: UnitOfWork) => Promise<T>, of = organizationId): Promise<T> {
  const tx = new UnitOfWork(database.control, { organizationId: of });
  const result = await work(tx);
  await tx.commit();
  return result;
}
const options = { actorId: null };
const sent = (identities: Identity[], makes = true, of = organizationId) =>
  unit((tx) => contactOfSender(tx, { identities, firstName: "Asha" }, { ...options, makes }), of);
const find = async (...identities: Identity[]) =>
  (await unit((tx) => contactsByIdentity(tx, identities))).map(({ row }) => row.id);
const digits = () => `9198${Math.random().toString().slice(2, 10)}`;
const wa = (value: string): Identity => ({ kind: "wa_id", value });
const phone = (value: string): Identity => ({ kind: "phone", value });
const bsuid = (value = `US.${digits()}`): Identity => ({ kind: "bsuid", value });
const kept = async (id: string) =>
  (
    await inspect<{ kind: string; value: string }>(
      url,
      "SELECT kind, value FROM contact_identities WHERE record_id = $1 ORDER BY kind, value",
      [id],
    )
  ).map(({ kind, value }) => ({ kind, value }));

test("a sender is made a contact where that is wanted, and is the same one from then on", async () => {
  const number = digits();
  expect(await sent([wa(number)], false)).toBeUndefined();
  const first = await sent([wa(number)]);
  expect((await sent([wa(number)], false))?.id).toBe(first?.id);
  const events = await inspect(url, "SELECT type FROM events WHERE entity_id = $1", [first?.id]);
  expect(events).toEqual([{ type: "contact.created" }]);
  expect((await sent([wa(number)], true, stranger))?.id).not.toBe(first?.id);
});

test("a contact learns what a sender is called besides: its number may be absent from then on", async () => {
  const number = digits();
  const known = await sent([phone(`+${number}`)]);
  const id = bsuid();
  expect((await sent([wa(number), id]))?.id).toBe(known?.id);
  expect((await sent([id], false))?.id).toBe(known?.id);
  expect(await kept(known?.id ?? "")).toEqual([id, wa(number)]);
});

test("of a phone that two share neither is taken for the sender, but who alone has it for WhatsApp is", async () => {
  const number = digits();
  const shared = [phone(`+${number}`)];
  const one = await sent(shared);
  const other = await sent([bsuid()]);
  await inspect(url, "UPDATE contacts SET phone = $2 WHERE id = $1", [other?.id, `+${number}`]);
  expect(await sent(shared, false)).toBeUndefined();
  expect(await find(...shared)).toEqual([one?.id, other?.id]);
  const third = await sent([wa(number)]);
  expect([one?.id, other?.id]).not.toContain(third?.id);
  expect(await find(wa(number))).toEqual([third?.id, one?.id, other?.id]);
  expect((await sent([wa(number)], false))?.id).toBe(third?.id);
});

test("of many who come at once with one identity one contact is made", async () => {
  const identities = [wa(digits()), bsuid()];
  const made = await Promise.all(Array.from({ length: 6 }, () => sent(identities)));
  expect(new Set(made.map((row) => row?.id)).size).toBe(1);
});

test("a new bsuid takes the place of the old one; where another contact has it, both are told of", async () => {
  const [before, after] = [bsuid(), bsuid()];
  const row = await sent([before, { kind: "username", value: unique() }]);
  const move = (from: Identity, to: Identity) => unit((tx) => moveIdentity(tx, { from, to }, options));
  expect((await move(before, after)).map(({ id }) => id)).toEqual([row?.id]);
  expect(await find(before)).toEqual([]);
  expect(await find(after)).toEqual([row?.id]);
  // again, as it may come twice
  expect((await move(before, after)).map(({ id }) => id)).toEqual([row?.id]);
  const other = await sent([before]);
  expect((await move(after, before)).map(({ id }) => id).sort()).toEqual([row?.id, other?.id].sort());
  expect(await find(after)).toEqual([row?.id]);
});

test("what is none of its kind, nobody has", async () => {
  expect(await find(wa("x"), phone("12"), { kind: "email", value: "nobody" })).toEqual([]);
});
