import { beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { systemMeta } from "../../mixins/access/principal.ts";
import type { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { shardUrl } from "../support/leads.ts";
import type { TestNode } from "../support/node.ts";
import { bodyOf, listOf, made, recordWorld, unique, type Body } from "../support/records.ts";

let node: TestNode;
let admin: Client;
let rep: Client;
let other: Client;
let stranger: Client;
beforeAll(async () => {
  ({ node, admin, rep, stranger } = await recordWorld("Calls"));
  other = await admin.addUser("sales_rep");
});

// what a test has left in somebody's hands
beforeEach(() =>
  sql(
    "UPDATE calls SET status = 'closed', claim_ends_at = NULL WHERE organization_id = $1 AND status = 'claimed'",
    [admin.organizationId],
  ),
);

let numbers = 9876500000;
const phone = () => `+91${++numbers}`;
const queueOf = (body: object = {}) =>
  made(admin, "/call-queues", { name: `Q ${unique()}`, members: [rep.userId, other.userId], ...body });
const call = (queue: Body, body: object = {}, client = admin) =>
  made(client, "/calls", { queueId: queue.id, phone: phone(), ...body });
const claim = (queue: Body, client = rep) => client.post(`/call-queues/${queue.id}/claim`);
const end = (client: Client, id: unknown, how: string, body: object = {}) =>
  client.post(`/calls/${String(id)}/${how}`, body);
const sql = <T extends Record<string, unknown>>(text: string, values: unknown[]) =>
  inspect<T>(shardUrl(node, admin.organizationId), text, values);
/** A window that is open, or closed, at this hour in a zone. */
const windowIn = (zone: string, isOpen: boolean) => {
  const hour = Number(
    new Intl.DateTimeFormat("en-GB", { hour: "2-digit", hourCycle: "h23", timeZone: zone }).format(),
  );
  const at = (hours: number) => `${String((hour + hours + 24) % 24).padStart(2, "0")}:00`;
  return { from: at(isOpen ? -2 : 4), to: at(isOpen ? 4 : 8), days: [0, 1, 2, 3, 4, 5, 6] };
};

describe("a call queue", () => {
  test("is set up by who leads, comes back as it was given, and is only read by who sells", async () => {
    const given = {
      ...{ name: unique(), members: [rep.userId], claimSeconds: 60, expiresAfterDays: 7 },
      window: { from: "09:30", to: "18:00", days: ["mon", "friday", 6] },
      retry: { most: 2, pausesSeconds: [60] },
    };
    const queue = await made(admin, "/call-queues", given);
    expect(queue).toMatchObject({ ...given, version: 1 });
    expect((await rep.get(`/call-queues/${queue.id}`)).body).toEqual(queue);
    expect(await rep.post("/call-queues", given)).toMatchObject({ status: 403 });
    const always = await queueOf();
    expect(always).toMatchObject({ window: null, retry: { most: 3 }, claimSeconds: 900 });
    const emptied = await admin.send("PATCH", `/call-queues/${queue.id}`, { window: null });
    expect(emptied).toMatchObject({ status: 200, body: { window: null, version: 2 } });
    expect((await stranger.get(`/call-queues/${queue.id}`)).status).toBe(404);
  });

  test.each([
    [{ window: { from: "09:00", to: "09:00", days: [1] } }, "window.to"],
    [{ window: { from: "9", to: "17:00", days: [1] } }, "window.from"],
    [{ window: { from: "09:00", to: "17:00", days: ["someday"] } }, "window.days.0"],
    [{ window: { from: "09:00", to: "17:00", days: [] } }, "window.days"],
    [{ members: ["01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f"] }, "members.0"],
    [{ retry: { most: 0 } }, "retry.most"],
  ])("%j is refused at %s", async (body, path) => {
    expect(await admin.post("/call-queues", { name: "Bad", ...body })).toMatchObject({
      status: 422,
      body: { errors: expect.arrayContaining([expect.objectContaining({ path })]) },
    });
  });

  test("in which calls wait is deleted by force alone, and with it they are gone from sight until it is restored", async () => {
    const queue = await queueOf();
    const waiting = await call(queue);
    expect(await admin.send("DELETE", `/call-queues/${queue.id}`)).toMatchObject({
      status: 409,
      body: { code: "IN_USE", uses: 1 },
    });
    expect((await admin.send("DELETE", `/call-queues/${queue.id}?force=true`)).status).toBe(204);
    expect((await admin.get(`/calls/${waiting.id}`)).status).toBe(404);
    expect((await claim(queue)).status).toBe(404);
    expect((await admin.post(`/call-queues/${queue.id}/restore`)).status).toBe(200);
    expect(await claim(queue)).toMatchObject({ status: 200, body: { id: waiting.id } });
    await end(rep, waiting.id, "release");
  });
});

describe("a call", () => {
  test("is scheduled, claimed and completed, each told to members", async () => {
    const queue = await queueOf();
    const lead = await made(rep, "/leads", { lastName: "Rao", phone: "+919876543210" });
    const answer = await rep.post("/calls", { queueId: queue.id, kind: "lead", recordId: lead.id });
    expect(answer).toMatchObject({
      status: 201,
      body: {
        ...{ status: "waiting", phone: "+919876543210", kind: "lead", recordId: lead.id, attempts: 0 },
        ...{ timeZoneFrom: "phone", claimedBy: null, createdBy: rep.userId, version: 1 },
      },
    });
    const { id } = bodyOf(answer);
    expect(answer.headers.get("location")).toBe(`/api/v1/calls/${id}`);
    const claimed = await claim(queue, other);
    expect(claimed).toMatchObject({ status: 200, body: { id, status: "claimed", claimedBy: other.userId } });
    expect((await claim(queue)).status).toBe(204);
    const done = await end(other, id, "complete", { outcome: "reached", notes: "Wants a quotation" });
    expect(done).toMatchObject({
      status: 200,
      body: { status: "completed", outcome: "reached", notes: "Wants a quotation", attempts: 1 },
    });
    expect((await rep.get(`/calls/${id}`)).body).toEqual(done.body);
    expect(await end(other, id, "complete", { outcome: "twice" })).toMatchObject({
      status: 409,
      body: { code: "CALL_NOT_CLAIMED" },
    });
    for (const client of [rep, other])
      await eventually(async () => {
        const events = listOf(await client.get("/events?since=0&types=call.*&limit=1000")).filter(
          (event) => (event.entity as { id: string }).id === id,
        );
        expect(events.map(({ type }) => type)).toEqual(["call.scheduled", "call.claimed", "call.completed"]);
        return true;
      });
  });

  test("comes by priority, then by its time, then in the order in which they were made", async () => {
    const queue = await queueOf();
    const soon = new Date(Date.now() - 60_000).toISOString();
    const plain = await call(queue);
    const later = await call(queue, {
      notBefore: new Date(Date.now() + 3_600_000).toISOString(),
      priority: 9,
    });
    const earlier = await call(queue, { notBefore: soon });
    const urgent = await call(queue, { priority: 5 });
    const after = await call(queue);
    const order = [];
    for (let next = await claim(queue); next.status === 200; next = await claim(queue)) {
      order.push(bodyOf(next).id);
      await end(rep, bodyOf(next).id, "complete", { outcome: "reached" });
    }
    expect(order).toEqual([urgent.id, earlier.id, plain.id, after.id]);
    expect(bodyOf(await admin.get(`/calls/${later.id}`)).status).toBe("waiting");
  });

  test("is made while the clocks of who is called show a time within the window", async () => {
    const queue = await queueOf({ window: windowIn("Asia/Tokyo", true) });
    const tokyo = await call(queue, { phone: "+81312345678" });
    const paris = await call(queue, { phone: "+33123456789", priority: 9 });
    const given = await call(queue, { phone: "+33123456789", timeZone: "Asia/Seoul" });
    expect([tokyo, paris, given]).toMatchObject([
      { timeZones: ["Asia/Tokyo"], timeZoneFrom: "phone" },
      { timeZones: ["Europe/Paris"], timeZoneFrom: "phone" },
      { timeZones: ["Asia/Seoul"], timeZoneFrom: "given" },
    ]);
    expect(bodyOf(await claim(queue)).id).toBe(tokyo.id);
    expect(bodyOf(await claim(queue, other)).id).toBe(given.id);
    expect((await claim(queue, admin)).status).toBe(204);
    // a number of no country
    expect(await call(queue, { phone: "+80012345678" })).toMatchObject({ timeZoneFrom: "organization" });
    for (const [client, one] of [
      [rep, tokyo],
      [other, given],
    ] as const)
      await end(client, one.id, "complete", { outcome: "reached" });
  });

  test("to a country of several zones is made while the window is open in all of them; where it never is, it is refused", async () => {
    const queue = await queueOf({ window: { from: "09:00", to: "18:00", days: [1, 2, 3, 4, 5] } });
    const states = await call(queue, { phone: "+12125550123" });
    expect(states.timeZones).toEqual(expect.arrayContaining(["Pacific/Honolulu"]));
    expect(await admin.post("/calls", { queueId: queue.id, phone: "+74951234567" })).toMatchObject({
      status: 422,
      body: { errors: [{ path: "phone", code: "never_open" }] },
    });
    expect(await call(queue, { phone: "+74951234567", timeZone: "Europe/Moscow" })).toMatchObject({
      timeZones: ["Europe/Moscow"],
    });
  });

  test("is released as it was, and tried again after pauses until it was tried often enough", async () => {
    const queue = await queueOf({ retry: { most: 2, pausesSeconds: [3600] } });
    const { id } = await call(queue);
    await claim(queue);
    expect(await end(rep, id, "release")).toMatchObject({
      status: 200,
      body: { status: "waiting", attempts: 0, claimedBy: null },
    });
    await claim(queue);
    const again = bodyOf(await end(rep, id, "retry", { notes: "No answer" }));
    expect(again).toMatchObject({ status: "waiting", attempts: 1, notes: "No answer" });
    expect(Date.parse(String(again.notBefore))).toBeGreaterThan(Date.now() + 3_500_000);
    expect((await claim(queue)).status).toBe(204);
    await sql("UPDATE calls SET not_before = now() WHERE id = $1", [id]);
    await claim(queue);
    expect(await end(rep, id, "retry", { notBefore: "2030-01-01T00:00:00Z" })).toMatchObject({
      body: { status: "closed", closedReason: "no_tries_left", attempts: 2 },
    });
  });

  test("whose claim is over is given back, and its late end refused", async () => {
    const queue = await queueOf({ claimSeconds: 1 });
    const { id } = await call(queue);
    expect(bodyOf(await claim(queue)).id).toBe(id);
    await eventually(async () => bodyOf(await admin.get(`/calls/${id}`)).status === "waiting");
    expect(await end(rep, id, "complete", { outcome: "late" })).toMatchObject({
      status: 409,
      body: { code: "CALL_NOT_CLAIMED" },
    });
    expect(bodyOf(await claim(queue, other))).toMatchObject({ id, claimedBy: other.userId });
    expect(await end(rep, id, "complete", { outcome: "not mine" })).toMatchObject({
      status: 403,
      body: { code: "NOT_YOUR_CALL" },
    });
  });

  test.each([
    ["nothing to call", () => ({}), "recordId"],
    ["no phone number", () => ({ phone: "12" }), "phone"],
    ["a kind that has no phones", () => ({ kind: "deal", recordId: uuidv7() }), "kind"],
    ["no such record", () => ({ kind: "contact", recordId: uuidv7() }), "recordId"],
    ["an end before its beginning", () => ({ phone: phone(), notAfter: "2020-01-01T00:00:00Z" }), "notAfter"],
    ["a zone that is none", () => ({ phone: phone(), timeZone: "IST" }), "timeZone"],
  ])("with %s is refused", async (_what, body, path) => {
    const queue = await queueOf();
    expect(await admin.post("/calls", { queueId: queue.id, ...body() })).toMatchObject({
      status: 422,
      body: { errors: expect.arrayContaining([expect.objectContaining({ path })]) },
    });
  });
});

describe("a claim", () => {
  test("is for members, and for who may change the queue; each has one call in hand, in whatever queue", async () => {
    const [queue, elsewhere] = [await queueOf({ members: [rep.userId] }), await queueOf()];
    await Promise.all([call(queue), call(queue), call(queue), call(elsewhere)]);
    expect(await claim(queue, other)).toMatchObject({ status: 403, body: { code: "NOT_A_MEMBER" } });
    expect((await claim(queue, stranger)).status).toBe(404);
    const first = bodyOf(await claim(queue));
    for (const one of [queue, elsewhere])
      expect(await claim(one)).toMatchObject({ status: 409, body: { code: "CALL_OPEN", callId: first.id } });
    expect((await claim(queue, admin)).status).toBe(200);
    await end(admin, first.id, "release");
    expect((await claim(elsewhere)).status).toBe(200);
  });

  test("of none under a key is nothing when it is repeated too, whatever waits by then", async () => {
    const queue = await queueOf();
    const again = () =>
      rep.post(`/call-queues/${queue.id}/claim`, undefined, { "idempotency-key": queue.id });
    expect((await again()).status).toBe(204);
    await call(queue);
    expect((await again()).status).toBe(204);
    expect((await claim(queue)).status).toBe(200);
  });

  test("that is repeated under its key answers the same call", async () => {
    const queue = await queueOf();
    await Promise.all([call(queue), call(queue)]);
    const fresh = await admin.addUser("manager");
    const key = { "idempotency-key": unique() };
    const first = await fresh.post(`/call-queues/${queue.id}/claim`, undefined, key);
    const again = await fresh.post(`/call-queues/${queue.id}/claim`, undefined, key);
    expect(again).toMatchObject({ status: 200, body: { id: bodyOf(first).id } });
  });

  test("of fifty members at once gives each a call of their own, and none twice", async () => {
    const { organizationId } = admin;
    const users = Array.from({ length: 50 }, () => uuidv7());
    const queue = await queueOf({ members: [] });
    await sql("UPDATE call_queues SET members = $2 WHERE id = $1", [queue.id, JSON.stringify(users)]);
    await Promise.all(Array.from({ length: 40 }, () => call(queue)));
    const got = await Promise.all(
      users.map((userId) =>
        node.call("calls.claim", { id: queue.id }, { organizationId, userId, role: "sales_rep" }),
      ),
    );
    const ids = got.flatMap((one) => one?.id ?? []);
    expect(ids).toHaveLength(40);
    expect(new Set(ids).size).toBe(40);
    const rows = await sql<{ claimed_by: string }>(
      "SELECT claimed_by FROM calls WHERE queue_id = $1 AND status = 'claimed'",
      [queue.id],
    );
    expect(new Set(rows.map((row) => row.claimed_by)).size).toBe(40);
  });
});

describe("who sees a call", () => {
  test("are members of its queue, who made it, and who sees its record; what is deleted is not there", async () => {
    const queue = await queueOf({ members: [other.userId] });
    const outsider = await admin.addUser("sales_rep");
    const lead = await made(admin, "/leads", { lastName: "Seen", phone: phone(), assignedTo: rep.userId });
    const ofLead = await call(queue, { recordId: lead.id, phone: undefined });
    const number = await call(queue);
    const seen = async (client: Client) =>
      listOf(await client.get(`/calls?filter[queueId]=${queue.id}`))
        .map(({ id }) => id)
        .sort();
    const both = [ofLead.id, number.id].sort();
    expect(await seen(other)).toEqual(both);
    expect(await seen(admin)).toEqual(both);
    expect(await seen(rep)).toEqual([ofLead.id]);
    expect(await seen(outsider)).toEqual([]);
    expect((await outsider.get(`/calls/${ofLead.id}`)).status).toBe(404);
    expect((await end(outsider, ofLead.id, "release")).status).toBe(404);
    expect(await outsider.post("/calls", { queueId: queue.id, recordId: lead.id })).toMatchObject({
      status: 422,
      body: { errors: [{ path: "recordId", code: "not_found" }] },
    });
    await admin.send("DELETE", `/leads/${lead.id}`);
    expect(await seen(other)).toEqual([number.id]);
    expect(bodyOf(await claim(queue, other)).id).toBe(number.id);
    await end(other, number.id, "complete", { outcome: "reached" });
    expect((await claim(queue, other)).status).toBe(204);
    await admin.post(`/leads/${lead.id}/restore`);
    await node.call("calls.putInOrder" as never, {} as never, systemMeta(admin.organizationId));
    expect(bodyOf(await claim(queue, other)).id).toBe(ofLead.id);
    await end(other, ofLead.id, "release");
  });

  test("follow its record through a merge, and its number what the record has by then", async () => {
    const queue = await queueOf();
    const [winner, loser] = [
      await made(admin, "/contacts", { lastName: "Winner", phone: "+33123456780" }),
      await made(admin, "/contacts", { lastName: "Loser", phone: phone() }),
    ];
    const { id } = await call(queue, { kind: "contact", recordId: loser.id, phone: undefined });
    await made(admin, `/contacts/${winner.id}/merge`, { loserIds: [loser.id] }).catch(() => undefined);
    expect(bodyOf(await admin.get(`/calls/${id}`)).recordId).toBe(winner.id);
    expect(bodyOf(await claim(queue))).toMatchObject({
      ...{ id, phone: "+33123456780", timeZones: ["Europe/Paris"] },
    });
    await end(rep, id, "release");
  });
});

test("hourly, what reminders have left is put in order, and a second time changes nothing", async () => {
  const queue = await queueOf();
  const [stale, expired, fresh] = [await call(queue), await call(queue, { priority: 9 }), await call(queue)];
  await sql(
    `UPDATE calls SET status = 'claimed', claimed_by = $2, claimed_at = now(), claim_ends_at = now() - interval '2 min' WHERE id = $1`,
    [stale.id, uuidv7()],
  );
  await sql("UPDATE calls SET not_after = now() - interval '1 min' WHERE id = $1", [expired.id]);
  const run = () => node.call("calls.putInOrder" as never, {} as never, systemMeta(admin.organizationId));
  await run();
  const statuses = async () =>
    Promise.all([stale, expired, fresh].map(async ({ id }) => bodyOf(await admin.get(`/calls/${id}`))));
  const after = await statuses();
  expect(after).toMatchObject([
    { status: "waiting", claimedBy: null, version: 2 },
    { status: "closed", closedReason: "expired", version: 2 },
    { status: "waiting", version: 1 },
  ]);
  await run();
  expect(await statuses()).toEqual(after);
});
