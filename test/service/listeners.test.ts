/** @jest-environment ./test/support/environment.mjs */
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import type { JobView } from "../../services/jobs/jobs.contract.ts";
import { inspect } from "../support/database.ts";
import { append } from "../support/feed.ts";
import { buildMeta } from "../support/imports.ts";
import { shardUrl } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";
import { probe, type HeardByProbe, type ProbeContext } from "../support/probe.ts";

interface Heard extends HeardByProbe {
  listener: string;
  organizationId: string | undefined;
}
const heard: Heard[] = [];
/** Entities whose events `first` fails on, with the number of times it still does. */
const failing = new Map<string, number>();
let node: TestNode;

const listen = (listener: string) => (ctx: ProbeContext, event: HeardByProbe) => {
  const { organizationId } = ctx.meta;
  ctx.locals.tx.afterCommit(() => heard.push({ ...event, listener, organizationId }));
};

beforeAll(async () => {
  node = await startTestNode({ SERVICES: "service:worker,jobs,events,leads" }, [
    probe({
      listeners: {
        first: async (ctx, event) => {
          const left = failing.get(event.entity.id) ?? 0;
          if (left > 0) {
            failing.set(event.entity.id, left - 1);
            throw new Error("not now");
          }
          // an effect in the listener's own transaction: a custom field for each event heard
          await ctx.locals.tx.execute({
            text: `INSERT INTO custom_fields (id, organization_id, entity, key, type, label, created_at, updated_at)
              VALUES ($1, $2, 'lead', $3, 'text', $4, now(), now())`,
            values: [uuidv7(), ctx.locals.tx.organizationId, `${event.entity.id}-${event.seq}`, event.seq],
          });
          listen("first")(ctx, event);
        },
        second: listen("second"),
      },
    }),
  ]);
});
afterAll(() => node.stop());

const by = (listener: string, organizationId: string) =>
  heard.filter((event) => event.listener === listener && event.organizationId === organizationId);
const cursors = (organizationId: string) =>
  inspect<{ listener: string; seq: string; is_scheduled: boolean }>(
    shardUrl(node, organizationId),
    "SELECT listener, seq, is_scheduled FROM listener_cursors WHERE organization_id = $1 ORDER BY 1",
    [organizationId],
  );
/** Once every listener has heard what there is of the feed up to `seq`. */
const atRest = (organizationId: string, seq: number) =>
  eventually(async () => {
    const rows = await cursors(organizationId);
    const isHeard = rows.some((row) => row.listener === "probe.everything" && Number(row.seq) === seq);
    return isHeard && rows.every((row) => !row.is_scheduled);
  }, 20_000);
const holds = (organizationId: string) =>
  inspect(shardUrl(node, organizationId), "SELECT * FROM listener_holds WHERE organization_id = $1", [
    organizationId,
  ]);
const effects = (organizationId: string, entityId: string) =>
  inspect<{ key: string }>(
    shardUrl(node, organizationId),
    "SELECT key FROM custom_fields WHERE organization_id = $1 AND key LIKE $2 || '%'",
    [organizationId, entityId],
  );
const seqs = (events: Heard[]) => events.map(({ seq }) => seq);

test("each listener hears every event of its types once, in order, and no other", async () => {
  const organizationId = uuidv7();
  for (let n = 0; n < 60; n++)
    await append(node.runtime, organizationId, { type: "lead.created" }, { type: "lead.deleted" });
  await atRest(organizationId, 120);
  const odd = Array.from({ length: 60 }, (_, index) => 2 * index + 1);
  expect(seqs(by("first", organizationId))).toEqual(odd);
  expect(seqs(by("second", organizationId))).toEqual(odd);
});

test("events written at once by many are heard once by each listener", async () => {
  const organizationId = uuidv7();
  await Promise.all(Array.from({ length: 200 }, () => append(node.runtime, organizationId, {})));
  await atRest(organizationId, 200);
  expect(seqs(by("first", organizationId))).toEqual(Array.from({ length: 200 }, (_, index) => index + 1));
  expect(await effects(organizationId, "")).toHaveLength(200);
});

test("an event that fails is tried again in its place, while other entities go on", async () => {
  const organizationId = uuidv7();
  const [bad, good] = [uuidv7(), uuidv7()];
  failing.set(bad, 3);
  const of = (id: string, version: number) => ({ entity: { id, version } });
  await append(node.runtime, organizationId, of(good, 1), of(bad, 1), of(good, 2), of(bad, 2));
  await append(node.runtime, organizationId, of(good, 3), of(bad, 3));
  await eventually(() => by("first", organizationId).length === 6, 20_000);
  const versions = (id: string) =>
    by("first", organizationId)
      .filter(({ entity }) => entity.id === id)
      .map(({ entity }) => entity.version);
  expect(versions(bad)).toEqual([1, 2, 3]);
  expect(versions(good)).toEqual([1, 2, 3]);
  expect(
    by("first", organizationId)
      .slice(0, 3)
      .map(({ entity }) => entity.id),
  ).toEqual([good, good, good]);
  await eventually(async () => (await holds(organizationId)).length === 0);
  expect(await effects(organizationId, bad)).toHaveLength(3);
  await append(node.runtime, organizationId, of(bad, 4));
  await eventually(() => versions(bad).length === 4);
});

test("an event that always fails becomes a dead job; dropped, its entity goes on behind it", async () => {
  const organizationId = uuidv7();
  const entityId = uuidv7();
  const meta = buildMeta({ organizationId });
  failing.set(entityId, Infinity);
  const of = (version: number) => ({ entity: { id: entityId, version } });
  await append(node.runtime, organizationId, of(1), of(2));
  const url = shardUrl(node, organizationId);
  await eventually(async () => (await holds(organizationId)).length === 1);
  // as after its last attempt
  const id = await eventually(async () => {
    const [row] = await inspect<{ id: string }>(
      url,
      `UPDATE graphile_worker._private_jobs SET attempts = max_attempts
       WHERE payload ->> 'organizationId' = $1 AND locked_at IS NULL AND last_error IS NOT NULL RETURNING id`,
      [organizationId],
    );
    return row?.id;
  });
  await append(node.runtime, organizationId, of(3));
  const jobs: JobView[] = (await node.call("jobs.list", {}, meta)).data;
  expect(jobs).toMatchObject([
    { id, task: "probe.first", payload: { entityId }, lastError: "not now", state: "dead" },
  ]);
  failing.set(entityId, 0);
  await node.call("jobs.drop", { id }, meta);
  await eventually(async () => (await holds(organizationId)).length === 0);
  await eventually(() => by("first", organizationId).length === 2);
  expect(by("first", organizationId).map(({ entity }) => entity.version)).toEqual([2, 3]);
});

test("a run that is repeated from an old place changes nothing twice", async () => {
  const organizationId = uuidv7();
  await append(node.runtime, organizationId, {}, {});
  await atRest(organizationId, 2);
  await Promise.all(
    Array.from({ length: 5 }, () =>
      node.broker.call("probe.first", {}, { meta: { organizationId, role: "system" } }),
    ),
  );
  expect(seqs(by("first", organizationId))).toEqual([1, 2]);
  await inspect(
    shardUrl(node, organizationId),
    "UPDATE listener_cursors SET seq = 0 WHERE organization_id = $1 AND listener = 'probe.second'",
    [organizationId],
  );
  await Promise.all(
    Array.from({ length: 4 }, () =>
      node.broker.call("probe.second", {}, { meta: { organizationId, role: "system" } }),
    ),
  );
  await atRest(organizationId, 2);
});

test("a listener that is new to an organization begins with the next event", async () => {
  const organizationId = uuidv7();
  await append(node.runtime, organizationId, {}, {});
  await atRest(organizationId, 2);
  await inspect(
    shardUrl(node, organizationId),
    "DELETE FROM listener_cursors WHERE organization_id = $1 AND listener = 'probe.second'",
    [organizationId],
  );
  await append(node.runtime, organizationId, {});
  await atRest(organizationId, 3);
  expect(seqs(by("second", organizationId))).toEqual([1, 2, 3]);
});

test("a service's own events reach listeners", async () => {
  const meta = buildMeta();
  await node.call("leads.create", { firstName: "Asha" }, meta);
  const [event] = await eventually(() => {
    const events = by("second", meta.organizationId ?? "");
    return events.length > 0 && events;
  });
  expect(event).toMatchObject({ type: "lead.created", data: { record: { firstName: "Asha" } } });
});
