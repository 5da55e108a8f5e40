import { beforeAll, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { bodyOf, listOf, made, recordWorld, unique, type Body } from "../support/records.ts";

let admin: Client;
let rep: Client;
let stranger: Client;
beforeAll(async () => {
  ({ admin, rep, stranger } = await recordWorld("Identities"));
});

const contact = (body: object, by = admin) => made(by, "/contacts", body);
const patch = (id: string, body: object, by = admin) => by.send("PATCH", `/contacts/${id}`, body);
const read = async (id: string) => bodyOf(await admin.get(`/contacts/${id}`));
const digits = () => `9198${Math.random().toString().slice(2, 10)}`;
const mail = () => `${unique()}@example.com`;
const identity = (kind: string, value: string, more: object = {}) => ({
  ...{ channel: channelOf[kind], kind, value, verifiedAt: null, ...more },
});
const channelOf: Record<string, string> = {
  ...{ phone: "phone", email: "email", wa_id: "whatsapp" },
  ...{ bsuid: "whatsapp", username: "whatsapp", visitor: "webchat" },
};

const takenBy = (id: string) => ({
  status: 409,
  body: { code: "VALUE_TAKEN", detail: expect.stringContaining(`(${id})`) as unknown },
});

test("a contact is known by its email, its phone and all else, each in the form that is stored", async () => {
  const wa = digits();
  const username = unique();
  const one = await contact({
    ...{ firstName: "Asha", email: "Asha@Example.com", phone: "098765 43210" },
    identities: [
      { kind: "wa_id", value: `+${wa.slice(0, 2)} ${wa.slice(2)}` },
      { kind: "email", value: "Second@Example.com" },
      { kind: "username", value: `@${username.toUpperCase()}`, channel: "whatsapp" },
    ],
  });
  const identities = [
    identity("email", "asha@example.com"),
    identity("email", "second@example.com"),
    identity("phone", "+919876543210"),
    identity("wa_id", wa),
    identity("username", username),
  ];
  expect(one.identities).toEqual(identities);
  expect((await read(one.id)).identities).toEqual(identities);
  const listed = await admin.get(`/contacts?filter[id]=${one.id}&fields=identities`);
  expect(listOf(listed)).toEqual([{ id: one.id, identities }]);
  const none = await contact({ firstName: "Nobody" });
  expect(none).toMatchObject({ identities: [], companies: [] });
});

test("a contact that is known by an identity alone is somebody", async () => {
  const one = await contact({ identities: [{ kind: "bsuid", value: `US.${digits()}` }] });
  expect(one).toMatchObject({ email: null, phone: null });
  const { status } = await admin.post("/contacts", { identities: [] });
  expect(status).toBe(422);
});

test("email and phone are the first of their kind: what is given changes the list, and the list changes them", async () => {
  const [a, b, c] = [mail(), mail(), mail()];
  const { id } = await contact({ firstName: "Asha", email: a, phone: "+919876543210" });
  const emails = async () => {
    const { email, identities } = await read(id);
    const all = (identities as { kind: string; value: string }[]).filter(({ kind }) => kind === "email");
    return [email, ...all.map(({ value }) => value)];
  };
  // another in its place
  await patch(id, { email: b });
  expect(await emails()).toEqual([b, b]);
  // one more
  await patch(id, { identities: [identity("email", b), identity("email", c)] });
  expect(await emails()).toEqual([b, b, c]);
  expect(await read(id)).toMatchObject({ phone: null });
  // one that is there moves up
  await patch(id, { email: c });
  expect(await emails()).toEqual([c, c, b]);
  // null takes it away, and the next moves up
  await patch(id, { email: null });
  expect(await emails()).toEqual([b, b]);
  // as it is, beside another list
  await patch(id, { email: b, identities: [identity("email", a)] });
  expect(await emails()).toEqual([a, a]);
  // both new
  await patch(id, { email: c, identities: [identity("email", b)] });
  expect(await emails()).toEqual([c, c, b]);
  await patch(id, { identities: [] });
  expect(await emails()).toEqual([null]);
});

test("what a caller was shown may be given back: it changes nothing, and makes no version", async () => {
  const company = await made(admin, "/companies", { name: unique() });
  const one = await contact({
    ...{ email: mail(), phone: "+919876543210", companyId: company.id },
    identities: [{ kind: "visitor", value: unique() }],
  });
  const { identities, companies, email, companyId } = one;
  const same = await patch(one.id, { identities, companies, email, companyId });
  expect(same.body).toEqual(one);
});

test("a bad value is a 422 that says what is allowed", async () => {
  const answer = await admin.post("/contacts", {
    identities: [
      { kind: "email", value: "nobody" },
      { kind: "phone", value: "12" },
      { kind: "wa_id", value: "12" },
      { kind: "bsuid", value: "12" },
      { kind: "username", value: "a b" },
      { kind: "visitor", value: "a b" },
      { kind: "visitor", value: "ok", channel: "email" },
    ],
  });
  const { errors } = answer.body as { errors: { path: string; message: string }[] };
  expect(answer.status).toBe(422);
  expect(errors.map(({ path }) => path)).toEqual([
    ...[0, 1, 2, 3, 4, 5].map((index) => `identities.${index}.value`),
    "identities.6.channel",
  ]);
  expect(errors.map(({ message }) => message).join("\n")).toMatch(
    /asha@example\.com[^]*country code[^]*919876543210[^]*US\.1349[^]*letters, digits[^]*letters, digits[^]*must be webchat/,
  );
  const unknown = await admin.post("/contacts", { identities: [{ kind: "fax", value: "1" }] });
  expect(JSON.stringify(unknown.body)).toContain("bsuid");
});

test.each([
  ["wa_id", digits],
  ["bsuid", () => `US.${digits()}`],
  ["username", unique],
  ["visitor", unique],
])("a %s belongs to one contact: another is told whose it is, where it may see it", async (kind, value) => {
  const identities = [{ kind, value: value() }];
  const first = await contact({ firstName: "First", identities });
  const taken = takenBy(first.id);
  expect(await admin.post("/contacts", { firstName: "Second", identities })).toMatchObject(taken);
  const third = await contact({ firstName: "Third" });
  expect(await patch(third.id, { identities })).toMatchObject(taken);
  expect(await admin.send("PUT", `/contacts/by-external-id/${unique()}`, { identities })).toMatchObject(
    taken,
  );
  const hidden = await rep.post("/contacts", { firstName: "Rep's", identities });
  expect(hidden).toMatchObject({ status: 409, body: { code: "VALUE_TAKEN" } });
  expect(JSON.stringify(hidden.body)).not.toContain(first.id);
  await contact({ firstName: "Another organization's", identities }, stranger);
  const bulk = await admin.post("/contacts/bulk", {
    items: [{ identities }, { firstName: "Free" }, { identities: [{ kind, value: value() }] }],
  });
  expect((bulk.body as { results: object[] }).results).toMatchObject([
    { status: 409, error: { code: "VALUE_TAKEN" } },
    { status: 201 },
    { status: 201 },
  ]);
  // who is deleted holds nothing, and comes back only where nobody has taken it
  await admin.send("DELETE", `/contacts/${first.id}`);
  const heir = await contact({ firstName: "Heir", identities });
  expect(await admin.post(`/contacts/${first.id}/restore`)).toMatchObject(takenBy(heir.id));
  await patch(heir.id, { identities: [] });
  expect(await admin.post(`/contacts/${first.id}/restore`)).toMatchObject({
    status: 200,
    body: { identities },
  });
});

test("emails and phones may be shared", async () => {
  const shared = { email: mail(), phone: "+912223456789", identities: [{ kind: "email", value: mail() }] };
  await contact(shared);
  await contact(shared);
});

test("of many who take one identity at once, in whatever way, one has it", async () => {
  const identities = [{ kind: "wa_id", value: digits() }];
  const known = await contact({ firstName: "Known" });
  const answers = await Promise.all([
    ...Array.from({ length: 4 }, () => admin.post("/contacts", { identities })),
    patch(known.id, { identities }),
    admin.send("PUT", `/contacts/by-external-id/${unique()}`, { identities }),
  ]);
  const bulks = await Promise.all(
    Array.from({ length: 4 }, () =>
      admin.post("/contacts/bulk", { items: [{ identities }, { identities }, { firstName: "Free" }] }),
    ),
  );
  const results = bulks.map(({ body }) => (body as { results: { status: number }[] }).results);
  expect(results.map((all) => all[2]?.status)).toEqual([201, 201, 201, 201]);
  const statuses = [...answers, ...results.flatMap((all) => all.slice(0, 2))].map(({ status }) => status);
  expect(statuses.filter((status) => status < 300)).toHaveLength(1);
  expect(statuses.filter((status) => status === 409)).toHaveLength(statuses.length - 1);
});

test("who has verified an identity is not for every caller to say", async () => {
  const verifiedAt = "2026-01-02T03:04:05.000Z";
  const email = mail();
  const own = await contact({ identities: [{ kind: "email", value: email, verifiedAt }] }, rep);
  expect(own.identities).toEqual([identity("email", email)]);
  const verified = await patch(own.id, { identities: [{ kind: "email", value: email, verifiedAt }] });
  expect(verified).toMatchObject({ body: { identities: [{ verifiedAt }] } });
  // it stays whatever the rep says of it
  const wa = { kind: "wa_id", value: digits() };
  const kept = await patch(own.id, { identities: [{ ...identity("email", email) }, wa] }, rep);
  expect(bodyOf(kept).identities).toEqual([
    identity("email", email, { verifiedAt }),
    identity("wa_id", wa.value),
  ]);
  expect(await read(own.id)).toMatchObject({ email, identities: [{ verifiedAt }, {}] });
  // another email is another identity
  const other = mail();
  expect(bodyOf(await patch(own.id, { email: other })).identities).toContainEqual(identity("email", other));
});

test("a change of the list is told, and history brings the list back", async () => {
  const [a, b] = [mail(), mail()];
  const wa = digits();
  const one = await contact({ email: a, identities: [{ kind: "wa_id", value: wa }] });
  await patch(one.id, { email: b, identities: [{ kind: "email", value: a }] });
  const [changed] = listOf(await admin.get(`/contacts/${one.id}/history`));
  expect(changed).toMatchObject({
    changes: {
      email: [a, b],
      identities: [
        [{ value: a }, { value: wa }],
        [{ value: b }, { value: a }],
      ],
    },
  });
  const reverted = await admin.post(`/contacts/${one.id}/revert`, { version: 1 });
  expect(reverted).toMatchObject({ status: 200, body: { email: a, identities: one.identities } });
});

test("a merge unites what they are known by, and its undoing gives each back what it had", async () => {
  const [mine, theirs] = [mail(), mail()];
  const [wa, visitor] = [digits(), unique()];
  const winner = await contact({ email: mine, identities: [{ kind: "visitor", value: visitor }] });
  const loser = await contact({
    email: theirs,
    phone: "+919876543210",
    identities: [{ kind: "wa_id", value: wa }],
  });
  const merged = await admin.post(`/contacts/${winner.id}/merge`, { loserIds: [loser.id] });
  const { mergeId, record } = merged.body as { mergeId: string; record: Body };
  expect(record).toMatchObject({ email: mine, phone: "+919876543210" });
  expect((record.identities as { value: string }[]).map(({ value }) => value)).toEqual([
    ...[mine, theirs, "+919876543210"],
    ...[visitor, wa],
  ]);
  // who has it now
  expect(await admin.post("/contacts", { identities: [{ kind: "wa_id", value: wa }] })).toMatchObject(
    takenBy(winner.id),
  );
  const later = mail();
  await patch(winner.id, {
    identities: [...(record.identities as object[]), { kind: "email", value: later }],
  });
  expect(await admin.post(`/merges/${mergeId}/undo`)).toMatchObject({ status: 200 });
  expect(await read(loser.id)).toMatchObject({ email: theirs, identities: loser.identities });
  const back = await read(winner.id);
  expect(back).toMatchObject({ email: mine, phone: null });
  expect((back.identities as { value: string }[]).map(({ value }) => value)).toEqual([mine, later, visitor]);
});

test("of a merge the value that is taken stands first", async () => {
  const [mine, theirs] = [mail(), mail()];
  const winner = await contact({ email: mine });
  const loser = await contact({ email: theirs });
  const merged = await admin.post(`/contacts/${winner.id}/merge`, {
    ...{ loserIds: [loser.id], take: { email: loser.id } },
  });
  expect((merged.body as { record: Body }).record).toMatchObject({
    email: theirs,
    identities: [{ value: theirs }, { value: mine }],
  });
});

test("a change of many contacts gives none of them what only one may have", async () => {
  const one = await contact({ firstName: unique() });
  const refused = await admin.send("PATCH", "/contacts/bulk", {
    ...{ ids: [one.id], changes: { identities: [{ kind: "wa_id", value: digits() }] } },
  });
  expect(refused.status).toBe(422);
});

test("identities go through a file and come back; a row whose identity another has is refused by itself", async () => {
  const [wa, taken, twice] = [digits(), digits(), digits()];
  await contact({ firstName: "Holder", identities: [{ kind: "wa_id", value: taken }] });
  const one = await contact({
    ...{ firstName: "Asha", email: mail(), externalId: unique() },
    identities: [
      { kind: "wa_id", value: wa },
      { kind: "email", value: mail() },
    ],
  });
  const file = await admin.get(`/contacts/export?format=csv&filter[id]=${one.id}`);
  await imported(stranger, String(file.body));
  const [copy] = listOf(await stranger.get(`/contacts?filter[externalId]=${String(one.externalId)}`));
  expect(copy).toMatchObject({ email: one.email, identities: one.identities });
  const cell = (value: string) => `"${JSON.stringify([{ kind: "wa_id", value }]).replaceAll('"', '""')}"`;
  const rows = ["Free", "Second", "Third"].map((name) => `${name},${cell(name === "Third" ? taken : twice)}`);
  const { created, failed } = await imported(admin, `firstName,identities\n${rows.join("\n")}\n`, {
    identities: "identities",
  });
  expect({ created, failed }).toEqual({ created: 1, failed: 2 });
});

test("a file says when an identity was seen only for those who may say it", async () => {
  const manager = await admin.addUser("manager");
  for (const [by, seen] of [
    [admin, "2026-01-02T03:04:05.000Z"],
    [manager, null],
  ] as const) {
    const externalId = unique();
    const part = { kind: "wa_id", value: digits(), verifiedAt: "2026-01-02T03:04:05.000Z" };
    const cell = `"${JSON.stringify([part]).replaceAll('"', '""')}"`;
    await imported(by, `externalId,firstName,identities\n${externalId},Seen,${cell}\n`, {
      identities: "identities",
    });
    const [made] = listOf(await admin.get(`/contacts?filter[externalId]=${externalId}`));
    expect(made).toMatchObject({ identities: [{ value: part.value, verifiedAt: seen }] });
  }
});

/** A file as an import, once it is over. */
async function imported(client: Client, csv: string, mapping = {}) {
  const form = new FormData();
  form.set("file", new Blob([csv], { type: "text/csv" }), "contacts.csv");
  form.set("mapping", JSON.stringify(mapping));
  const { id } = bodyOf(await client.post("/contacts/import", form));
  return eventually(async () => {
    const body = bodyOf(await client.get(`/imports/${id}`));
    if (body.status === "failed") throw new Error(JSON.stringify(body));
    return body.status === "completed" && body;
  });
}
