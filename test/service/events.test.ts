import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { append, appendMany } from "../support/feed.ts";
import { inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode({ SERVICES: "events" });
});
afterAll(() => node.stop());

const as = (organizationId: string, role = "admin", userId = uuidv7()) => ({ organizationId, role, userId });
const headReaches = (organizationId: string, head: number) =>
  eventually(async () => (await node.call("events.list", { limit: 1 }, as(organizationId))).head === head);
const seqsOf = (answer: { data: { seq: number }[] }) => answer.data.map(({ seq }) => seq);

describe("the feed", () => {
  test("shows events with their places, in order", async () => {
    const organizationId = uuidv7();
    const [leadId, actorId] = [uuidv7(), uuidv7()];
    await append(
      node.runtime,
      organizationId,
      { type: "lead.created", entity: { id: leadId, version: 1 }, actorId, data: { score: 7 } },
      { type: "lead.updated", entity: { id: leadId, version: 2 }, actorId },
    );
    await headReaches(organizationId, 2);
    const answer = await node.call("events.list", {}, as(organizationId));
    expect(answer).toEqual({
      data: [
        expect.objectContaining({
          ...{ seq: 1, type: "lead.created", actorId, data: { score: 7 } },
          entity: { kind: "lead", id: leadId, version: 1 },
        }),
        expect.objectContaining({ seq: 2, type: "lead.updated" }),
      ],
      head: 2,
      next: 2,
    });
  });

  test("is empty, with head 0, before the first event", async () => {
    expect(await node.call("events.list", {}, as(uuidv7()))).toEqual({ data: [], head: 0, next: 0 });
  });

  test("has nothing after its head", async () => {
    const organizationId = uuidv7();
    await append(node.runtime, organizationId, {});
    await headReaches(organizationId, 1);
    expect(await node.call("events.list", { since: 1 }, as(organizationId))).toEqual({
      data: [],
      head: 1,
      next: 1,
    });
    expect(await node.call("events.list", { since: 99 }, as(organizationId))).toEqual({
      data: [],
      head: 1,
      next: 1,
      gap: true,
    });
  });

  test("is nobody else's", async () => {
    const organizationId = uuidv7();
    await append(node.runtime, organizationId, {}, {});
    await headReaches(organizationId, 2);
    for (const role of ["admin", "system"])
      expect(await node.call("events.list", {}, as(uuidv7(), role))).toEqual({ data: [], head: 0, next: 0 });
  });

  test("is walked to its head by asking again from `next`", async () => {
    const organizationId = uuidv7();
    await append(node.runtime, organizationId, ...Array.from({ length: 1_205 }, () => ({})));
    await headReaches(organizationId, 1_205);
    const seqs: number[] = [];
    for (let since = 0, head = 1; since < head;) {
      const answer = await node.call("events.list", { since, limit: 500 }, as(organizationId));
      seqs.push(...seqsOf(answer));
      ({ head, next: since } = answer);
    }
    expect(seqs).toEqual(Array.from({ length: 1_205 }, (_, index) => index + 1));
  });

  test("lets a caller pass thousands of events it may not see, a part at a time", async () => {
    const organizationId = uuidv7();
    await append(
      node.runtime,
      organizationId,
      ...Array.from({ length: 5_500 }, () => ({ entity: { kind: "user" } })),
      {},
    );
    await headReaches(organizationId, 5_501);
    const viewer = as(organizationId, "viewer");
    expect(await node.call("events.list", {}, viewer)).toEqual({ data: [], head: 5_501, next: 5_000 });
    const rest = await node.call("events.list", { since: 5_000 }, viewer);
    expect([seqsOf(rest), rest.next]).toEqual([[5_501], 5_501]);
  });

  test("says when events after `since` are no longer kept", async () => {
    const organizationId = uuidv7();
    await append(node.runtime, organizationId, {}, {}, {}, {});
    await headReaches(organizationId, 4);
    const remove = (upTo: number) =>
      Promise.all(
        node.databases.map((url) =>
          inspect(url, "DELETE FROM events WHERE organization_id = $1 AND seq <= $2", [organizationId, upTo]),
        ),
      );
    await remove(2);
    const gapAfter = async (since: number) =>
      (await node.call("events.list", { since }, as(organizationId))).gap ?? false;
    expect([await gapAfter(0), await gapAfter(1), await gapAfter(2), await gapAfter(3)]).toEqual([
      true,
      true,
      false,
      false,
    ]);
    await remove(4);
    expect([await gapAfter(3), await gapAfter(4)]).toEqual([true, false]);
  });
});

describe("who sees what", () => {
  const organizationId = uuidv7();
  const [ana, ben] = [uuidv7(), uuidv7()];
  beforeAll(async () => {
    await append(
      node.runtime,
      organizationId,
      { type: "lead.created", audience: [ana] },
      { type: "lead.assigned", audience: [ana, ben] },
      { type: "contact.created", entity: { kind: "contact" }, audience: [] },
      { type: "deal.won", entity: { kind: "deal" } },
      { type: "import.completed", entity: { kind: "import" } },
      { type: "user.invited", entity: { kind: "user" } },
    );
    await headReaches(organizationId, 6);
  });

  test.each([
    ["admin", ana, [1, 2, 3, 4, 5, 6]],
    ["manager", ana, [1, 2, 3, 4, 5, 6]],
    ["viewer", ana, [1, 2, 3, 4, 5]],
    ["sales_rep", ana, [1, 2, 4]],
    ["sales_rep", ben, [2, 4]],
  ])("%s", async (role, userId, seqs) => {
    const answer = await node.call("events.list", {}, as(organizationId, role, userId));
    expect([seqsOf(answer), answer.next]).toEqual([seqs, 6]);
  });

  test("strangers nothing", async () => {
    await expect(node.call("events.list", {}, {})).rejects.toMatchObject({ code: 401 });
    await expect(node.call("events.list", {}, as(organizationId, "guest"))).rejects.toMatchObject({
      code: 403,
    });
  });

  test.each([
    ["lead.*", [1, 2]],
    ["lead.assigned,deal.*", [2, 4]],
    ["*", [1, 2, 3, 4, 5, 6]],
  ])("types=%s", async (types, seqs) => {
    expect(seqsOf(await node.call("events.list", { types }, as(organizationId)))).toEqual(seqs);
  });

  test("refuses types that cannot be", async () => {
    await expect(node.call("events.list", { types: "lead.*,;" }, as(organizationId))).rejects.toMatchObject({
      code: 400,
      data: { errors: [expect.objectContaining({ path: expect.stringContaining("types") as unknown })] },
    });
  });

  test("a limit counts what is answered", async () => {
    const answer = await node.call("events.list", { types: "deal.*,lead.*", limit: 2 }, as(organizationId));
    expect([seqsOf(answer), answer.next, answer.head]).toEqual([[1, 2], 2, 6]);
  });
});

test("a commit is in the feed well before the next poll", async () => {
  const organizationId = uuidv7();
  await append(node.runtime, organizationId, {});
  await headReaches(organizationId, 1);
  const start = performance.now();
  await appendMany(node.runtime, organizationId, 10);
  await headReaches(organizationId, 11);
  expect(performance.now() - start).toBeLessThan(400);
});
