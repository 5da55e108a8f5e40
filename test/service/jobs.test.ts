import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { jobCommand } from "../../mixins/jobs/job-command.ts";
import { platformTasks } from "../../mixins/jobs/platform-tasks.ts";
import type { NewJob } from "../../mixins/jobs/job-spec.ts";
import type { JobView } from "../../services/jobs/jobs.contract.ts";
import { inspect } from "../support/database.ts";
import { buildMeta } from "../support/imports.ts";
import { shardUrl } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";
import { probe, type ProbeContext } from "../support/probe.ts";

let node: TestNode;
const runs: { job: string; n: number; organizationId: string | undefined; meta: ProbeContext["meta"] }[] = [];
let isBroken = true;
const gate = Promise.withResolvers<void>();

const note = (job: string) => (ctx: ProbeContext) => {
  runs.push({ job, n: ctx.params.n, organizationId: ctx.meta.organizationId, meta: { ...ctx.meta } });
};

beforeAll(async () => {
  node = await startTestNode({ SERVICES: "service:worker,jobs,events" }, [
    probe({
      jobs: {
        work: async (ctx) => {
          if (ctx.params.n === -1) await gate.promise;
          note("work")(ctx);
        },
        slow: note("slow"),
        brittle: (ctx) => {
          note("brittle")(ctx);
          if (isBroken) throw new Error("it broke");
        },
        chore: note("chore"),
      },
    }),
  ]);
});
afterAll(() => node.stop());

const add = (organizationId: string, ...jobs: NewJob[]) =>
  node.runtime.database.transaction({ organizationId }, (tx) => {
    for (const job of jobs) tx.enqueue(job);
    return Promise.resolve();
  });
const runsOf = (organizationId: string) => runs.filter((run) => run.organizationId === organizationId);
const dead = async (organizationId: string): Promise<JobView[]> =>
  (await node.call("jobs.list", {}, buildMeta({ organizationId }))).data;

test("a job runs once its transaction commits, for its organization, on behalf of whoever added it", async () => {
  const organizationId = uuidv7();
  const userId = uuidv7();
  await node.runtime.database.transaction({ organizationId }, (tx) => {
    tx.origin = { userId, requestId: "r1", traceparent: "00-t" };
    tx.enqueue({ task: "probe.work", payload: { n: 1 } });
    return Promise.resolve();
  });
  await eventually(() => runsOf(organizationId).length === 1);
  expect(runsOf(organizationId)[0]?.meta).toMatchObject({
    organizationId,
    role: "system",
    userId,
    requestId: "r1",
    traceparent: "00-t",
  });
});

test("a job of a transaction that is rolled back never runs", async () => {
  const organizationId = uuidv7();
  await expect(
    node.runtime.database.transaction({ organizationId }, async (tx) => {
      tx.enqueue({ task: "probe.work", payload: { n: 1 } });
      await tx.query({ text: "SELECT 1 / 0" });
    }),
  ).rejects.toThrow();
  await add(organizationId, { task: "probe.work", payload: { n: 2 } });
  await eventually(() => runsOf(organizationId).length > 0);
  expect(runsOf(organizationId).map(({ n }) => n)).toEqual([2]);
});

test("of several jobs with one key only the last runs, and another organization's key is another key", async () => {
  const [ours, theirs] = [uuidv7(), uuidv7()];
  const later = { task: "probe.work", key: "same", delayMs: 200 };
  await add(theirs, { ...later, payload: { n: 9 } });
  for (const n of [1, 2, 3]) await add(ours, { ...later, payload: { n } });
  await eventually(() => runsOf(ours).length > 0 && runsOf(theirs).length > 0);
  await add(ours, { task: "probe.work", payload: { n: 4 } });
  await eventually(() => runsOf(ours).some(({ n }) => n === 4));
  expect(runsOf(ours).map(({ n }) => n)).toEqual([3, 4]);
  expect(runsOf(theirs).map(({ n }) => n)).toEqual([9]);
});

test("a payload that breaks its contract never reaches the body", async () => {
  const organizationId = uuidv7();
  await add(organizationId, { task: "probe.brittle", payload: { n: "many" }, maxAttempts: 1 });
  const [job] = await eventually(async () => {
    const jobs = await dead(organizationId);
    return jobs.length > 0 && jobs;
  });
  expect(job?.lastError).toMatch(/VALIDATION_FAILED.* n: /);
  expect(runsOf(organizationId)).toEqual([]);
});

test("a job that used up its attempts is dead, is shown to its admins alone, and runs again when retried", async () => {
  const organizationId = uuidv7();
  const meta = buildMeta({ organizationId });
  await add(organizationId, { task: "probe.brittle", payload: { n: 5 }, maxAttempts: 1 });
  const [job] = await eventually(async () => {
    const jobs = await dead(organizationId);
    return jobs.length > 0 && jobs;
  });
  expect(job).toMatchObject({
    task: "probe.brittle",
    payload: { n: 5 },
    state: "dead",
    attempts: 1,
    lastError: "it broke",
  });
  const id = job?.id ?? "";
  const stranger = buildMeta();
  expect((await node.call("jobs.list", {}, stranger)).data).toEqual([]);
  await expect(node.call("jobs.retry", { id }, stranger)).rejects.toMatchObject({ code: 404 });
  await expect(node.call("jobs.drop", { id }, stranger)).rejects.toMatchObject({ code: 404 });
  await expect(node.call("jobs.list", {}, { ...meta, role: "manager" })).rejects.toMatchObject({ code: 403 });
  isBroken = false;
  await node.call("jobs.retry", { id }, meta);
  await eventually(() => runsOf(organizationId).length === 2);
  await eventually(async () => (await dead(organizationId)).length === 0);
  isBroken = true;
});

test("a job whose last try ended with its worker is dead and says why", async () => {
  const organizationId = uuidv7();
  const url = shardUrl(node, organizationId);
  const later = new Date(Date.now() + 3_600_000);
  await add(organizationId, { task: "probe.work", payload: {}, runAt: later });
  await inspect(
    url,
    `UPDATE graphile_worker._private_jobs
     SET attempts = max_attempts, locked_by = 'gone', locked_at = now() - interval '2 minutes'
     WHERE payload ->> 'organizationId' = $1`,
    [organizationId],
  );
  await inspect(url, "SELECT free_jobs_of_unknown_workers()");
  expect(await dead(organizationId)).toMatchObject([{ lastError: expect.stringContaining("worker died") }]);
});

test("a dropped job is gone", async () => {
  const organizationId = uuidv7();
  const meta = buildMeta({ organizationId });
  await add(organizationId, { task: "probe.brittle", payload: {}, maxAttempts: 1 });
  const [job] = await eventually(async () => {
    const jobs = await dead(organizationId);
    return jobs.length > 0 && jobs;
  });
  await node.call("jobs.drop", { id: job?.id ?? "" }, meta);
  expect(await dead(organizationId)).toEqual([]);
  await expect(node.call("jobs.drop", { id: job?.id ?? "" }, meta)).rejects.toMatchObject({ code: 404 });
});

test("operators see the dead jobs of all organizations, retry and drop them, from the REPL", async () => {
  const organizationId = uuidv7();
  await add(organizationId, { task: "probe.brittle", payload: { n: 7 }, maxAttempts: 1 });
  const dead = await eventually(async () => {
    const lines = (await jobCommand(node.broker, [])).split("\n");
    return lines.find((line) => line.includes(organizationId));
  });
  expect(dead).toContain('probe.brittle {"n":7}');
  expect(dead).toContain("1 of 1 tries: it broke");
  const [shard = "", id = ""] = dead.split(" ");
  expect(await jobCommand(node.broker, ["retry", shard, id])).toBe("Done.");
  await eventually(() => runsOf(organizationId).length === 2);
  await eventually(async () => (await jobCommand(node.broker, ["drop", shard, id])) === "Done.");
  expect(await jobCommand(node.broker, ["retry", shard, id])).toBe("There is no such dead job.");
  expect(await jobCommand(node.broker, ["help"])).toContain("jobs drop <shard> <id>");
  await expect(node.call("jobs.listAll", {}, buildMeta())).rejects.toMatchObject({ code: 403 });
});

test("a job of the platform has no organization", async () => {
  await node.runtime.database.transaction({ platform: node.runtime.database.control }, (tx) => {
    tx.enqueue({ task: "probe.chore", payload: { n: 1 } });
    return Promise.resolve();
  });
  await eventually(() => runs.some(({ job }) => job === "chore"));
  expect(runs.find(({ job }) => job === "chore")).toMatchObject({ organizationId: undefined, n: 1 });
});

test("only the system may call a job", async () => {
  for (const meta of [buildMeta(), {}])
    await expect(node.broker.call("probe.work", {}, { meta })).rejects.toMatchObject({
      type: expect.stringMatching(/FORBIDDEN|UNAUTHENTICATED/) as unknown,
    });
});

test("the app's role cannot reach another organization's jobs in the database", async () => {
  const [ours, theirs] = [uuidv7(), uuidv7()];
  await expect(
    node.runtime.database.transaction({ organizationId: ours }, (tx) =>
      tx.query({ text: "SELECT * FROM graphile_worker._private_jobs" }),
    ),
  ).rejects.toThrow(/permission denied/);
  const enqueue = (job: object) =>
    node.runtime.database.transaction({ organizationId: ours }, (tx) =>
      tx.query({
        text: "SELECT enqueue_jobs($1)",
        values: [JSON.stringify([{ task: "probe.work", payload: { n: 6 }, delayMs: 60_000, ...job }])],
      }),
    );
  await expect(enqueue({ organizationId: theirs })).rejects.toMatchObject({ code: "42501" });
  await enqueue({ organizationId: ours });
  const list = async (organizationId: string) =>
    (await node.call("jobs.list", { state: "waiting" }, buildMeta({ organizationId }))).data;
  expect(await list(theirs)).toEqual([]);
  expect(await list(ours)).toMatchObject([{ payload: { n: 6 } }]);
});

test("the app's role can add no job of the platform, whatever the service", async () => {
  const organizationId = uuidv7();
  const platform = platformTasks(node.runtime.contracts);
  expect(platform).toEqual(
    expect.arrayContaining(["probe.chore", "identity.eraseOrganization", "events.sweep"]),
  );
  for (const task of platform)
    await expect(
      node.runtime.database.transaction({ organizationId }, (tx) => {
        tx.enqueue({ task, payload: {} });
        return Promise.resolve();
      }),
    ).rejects.toMatchObject({ code: "42501" });
});

test("a job of the platform that an organization has added all the same does not run", async () => {
  const organizationId = uuidv7();
  const stored = { organizationId, payload: { n: 77 }, origin: null };
  await inspect(
    shardUrl(node, organizationId),
    "SELECT graphile_worker.add_job('probe.chore', $1::json, max_attempts => 1)",
    [JSON.stringify(stored)],
  );
  const dead = () => node.call("jobs.list", { state: "dead" }, buildMeta({ organizationId }));
  const [job] = (await eventually(async () => ((await dead()).data.length === 1 ? dead() : null))).data;
  expect(job?.lastError).toMatch(/platform's job/);
  expect(runs.filter(({ n }) => n === 77)).toEqual([]);
});

test("the last of one organization's many jobs does not hold up the first of another", async () => {
  const [busy, other] = [uuidv7(), uuidv7()];
  const shard = node.runtime.database.shardOf(busy);
  let quiet = other;
  while (node.runtime.database.shardOf(quiet) !== shard) quiet = uuidv7();
  await add(busy, ...Array.from({ length: 20_000 }, (_, n) => ({ task: "probe.work", payload: { n } })));
  await add(quiet, { task: "probe.work", payload: { n: 1 } });
  await eventually(() => runsOf(quiet).length === 1, 30_000);
  expect(runsOf(busy).length).toBeLessThan(2_000);
  await inspect(shardUrl(node, busy), "DELETE FROM graphile_worker._private_jobs WHERE locked_at IS NULL");
});

test("the jobs table is never read whole by those who add, claim and complete jobs, not even after it was empty", async () => {
  const organizationId = uuidv7();
  const url = shardUrl(node, organizationId);
  await inspect(url, "VACUUM ANALYZE graphile_worker._private_jobs");
  const readWhole = async () => {
    const [row] = await inspect<{ scans: string }>(
      url,
      "SELECT seq_scan AS scans FROM pg_stat_user_tables WHERE relid = 'graphile_worker._private_jobs'::regclass",
    );
    return Number(row?.scans);
  };
  const before = await readWhole();
  const rounds = 120;
  for (let round = 0; round < rounds; round++) {
    const from = round * 20;
    const jobs = Array.from({ length: 20 }, (_, index) => from + index);
    await add(organizationId, ...jobs.map((n) => ({ task: "probe.work", payload: { n }, key: String(n) })));
    await eventually(() => runsOf(organizationId).length === from + 20);
  }
  // connections tell once a second what they did; now and then somebody counts jobs. With plans that read all it is ten a round
  expect((await readWhole()) - before).toBeLessThan(3 * rounds);
}, 60_000);

test("workers whose lease has ended are replaced, and jobs go on", async () => {
  const organizationId = uuidv7();
  const url = shardUrl(node, organizationId);
  const leases = async () =>
    (await inspect<{ worker_id: string }>(url, "SELECT worker_id FROM worker_leases")).map(
      ({ worker_id }) => worker_id,
    );
  const before = await leases();
  await inspect(url, "DELETE FROM worker_leases");
  // those that were lost stand there once more while they are ended
  await eventually(async () => {
    const now = await leases();
    return now.length === before.length && !now.some((id) => before.includes(id));
  }, 15_000);
  await add(organizationId, { task: "probe.work", payload: { n: 1 } });
  await eventually(() => runsOf(organizationId).length === 1);
}, 30_000);

test("a stopping node finishes the jobs it has begun and gives back the others", async () => {
  const organizationId = uuidv7();
  await add(organizationId, { task: "probe.work", payload: { n: -1 } });
  await eventually(
    async () =>
      (await node.call("jobs.list", { state: "running" }, buildMeta({ organizationId }))).data.length === 1,
  );
  const url = shardUrl(node, organizationId);
  const stopped = node.broker.stop();
  setTimeout(() => gate.resolve(), 300);
  await stopped;
  expect(runsOf(organizationId)).toHaveLength(1);
  expect(
    await inspect(url, "SELECT 1 FROM graphile_worker._private_jobs WHERE locked_at IS NOT NULL"),
  ).toEqual([]);
  expect(await inspect(url, "SELECT 1 FROM worker_leases")).toEqual([]);
});
