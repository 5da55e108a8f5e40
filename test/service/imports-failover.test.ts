import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import type { Meta } from "../../mixins/contract/meta.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { buildMeta, ended, rejectedRows, upload } from "../support/imports.ts";
import { eventually } from "../support/eventually.ts";
import { type Node, startNode, testEnv } from "../support/node.ts";
import { startProcess, type NodeProcess } from "../support/process.ts";

const rows = 9000;
const file = [
  "Email,Ref,Visits,Company Domain",
  // every 100th row is refused, so that doubled rejections would show too
  ...Array.from(
    { length: rows },
    (_, i) => `${i % 100 === 0 ? "nobody" : `f${i}@example.com`},ref-${i},${i},d${i % 400}.example`,
  ),
].join("\n");

let database: string;
let node: Node | undefined;
let other: NodeProcess | undefined;
beforeAll(async () => {
  database = await createDatabase();
});
afterEach(async () => {
  other?.kill("SIGKILL");
  await other?.stop();
  await node?.stop();
  other = node = undefined;
});
afterAll(() => dropDatabase(database));

const settings = { DATABASE_URL: "", SERVICES: "leads,contacts,imports,service:worker" };
const startHere = async (services: string): Promise<Node> =>
  (node = await startNode(testEnv([database], { SERVICES: services })));
const startElsewhere = async (): Promise<NodeProcess> =>
  (other = await startProcess(`imports-${Math.random().toString(36).slice(2)}`, {
    ...settings,
    DATABASE_URL: database,
    DATABASE_POOL_SIZE: "4",
  }));

interface Progress extends Record<string, unknown> {
  processed: number;
  epoch: number;
  status: string;
}
async function progressOf(id: string): Promise<Progress> {
  const text = "SELECT processed, epoch, status FROM imports WHERE id = $1";
  const [progress] = await inspect<Progress>(database, text, [id]);
  return progress as Progress;
}
const underWay = (id: string) =>
  eventually(async () => {
    const progress = await progressOf(id);
    return progress.processed > 0 && progress;
  }, 30_000);
/** As if the 10 s of every worker's lease had gone by. */
const endLeases = () => inspect(database, "UPDATE worker_leases SET expires_at = now() - interval '1 ms'");
const leases = async () => (await inspect(database, "SELECT FROM worker_leases")).length;

/** As idle_in_transaction_session_timeout does after a minute to a process that sleeps inside a transaction. */
const endIdleTransactions = () =>
  eventually(async () => {
    const text = `SELECT pg_terminate_backend(pid), state FROM pg_stat_activity
      WHERE datname = current_database() AND application_name = 'sangam' AND state <> 'idle'`;
    return (await inspect(database, text)).length === 0;
  });

/** Stores the file while no node can import it, then starts a process that can. */
async function uploadFor(meta: Meta, plural = "leads"): Promise<string> {
  const uploader = await startNode(testEnv([database], { SERVICES: "imports,leads,contacts" }));
  const { id } = await upload(uploader, meta, file, {}, plural);
  await uploader.stop();
  return id;
}

/** Every row of the file is there once, and the counts say so. */
async function expectWhole(meta: Meta, id: string, plural = "leads"): Promise<void> {
  const view = await ended(node as Node, meta, id, 45_000);
  expect(view).toMatchObject({
    status: "completed",
    created: 8910,
    failed: 90,
    skipped: 0,
    updated: 0,
    processed: 9000,
    total: 9000,
  });
  const [leads] = await inspect<{ n: number; refs: number; visits: number }>(
    database,
    `SELECT count(*)::int AS n, count(DISTINCT custom_fields ->> 'ref')::int AS refs,
       sum((custom_fields ->> 'visits')::int)::int AS visits FROM ${plural} WHERE organization_id = $1`,
    [meta.organizationId],
  );
  const accepted = Array.from({ length: rows }, (_, i) => i).filter((i) => i % 100 !== 0);
  expect(leads).toEqual({ n: 8910, refs: 8910, visits: accepted.reduce((sum, i) => sum + i, 0) });
  expect((await rejectedRows(node as Node, meta, id)).trim().split("\n")).toHaveLength(91);
  const [events] = await inspect<{ completed: number; created: number }>(
    database,
    `SELECT count(*) FILTER (WHERE type = 'import.completed')::int AS completed,
       count(*) FILTER (WHERE type IN ('lead.created', 'contact.created'))::int AS created FROM events WHERE organization_id = $1`,
    [meta.organizationId],
  );
  expect(events).toEqual({ completed: 1, created: 8910 });
}

test.each(["leads", "contacts"])(
  "an import of %s whose process is killed goes on elsewhere after its lease, without losing or doubling a row",
  async (plural) => {
    const meta = buildMeta();
    const id = await uploadFor(meta, plural);
    const process = await startElsewhere();
    const before = await underWay(id);
    process.kill("SIGKILL");
    await process.stop();
    const left = await progressOf(id);
    expect(left.status).toBe("running");
    expect(await leases()).toBeGreaterThan(0);
    expect(left.processed).toBeLessThan(rows);

    await startHere("leads,contacts,imports,service:worker");
    expect((await progressOf(id)).epoch).toBe(before.epoch); // not before the lease is over
    await endLeases();
    await expectWhole(meta, id, plural);
    expect((await progressOf(id)).epoch).toBe(before.epoch + 1);
    if (plural === "leads") return;
    // of companies that refused rows alone name there is none
    const [companies] = await inspect<{ n: number; domains: number; employed: number }>(
      database,
      `SELECT count(*)::int AS n, count(DISTINCT domain)::int AS domains, (SELECT count(DISTINCT company_id)::int FROM contacts
      WHERE organization_id = $1) AS employed FROM companies WHERE organization_id = $1`,
      [meta.organizationId],
    );
    expect(companies).toEqual({ n: 396, domains: 396, employed: 396 });
    expect((await ended(node as Node, meta, id)).associated).toEqual({ company: 396 });
  },
);

test("a process that slept through its lease writes nothing more when it wakes", async () => {
  const meta = buildMeta();
  const id = await uploadFor(meta);
  const process = await startElsewhere();
  await underWay(id);
  process.kill("SIGSTOP");
  await endIdleTransactions();
  await endLeases();
  await startHere("leads,contacts,imports,service:worker");
  await eventually(async () => (await progressOf(id)).epoch === 2);
  process.kill("SIGCONT");
  await expectWhole(meta, id);
  // it is awake, and its answer to SIGTERM shows that the fence did not break it
  expect(await process.stop()).toBe(0);
  await expectWhole(meta, id);
});

test("a process that is stopped hands its import over at once", async () => {
  const meta = buildMeta();
  const id = await uploadFor(meta);
  const process = await startElsewhere();
  await underWay(id);
  expect(await process.stop()).toBe(0);
  const left = await progressOf(id);
  expect(left.status).toBe("running");
  expect(await leases()).toBe(0);
  expect(left.processed).toBeLessThan(rows);
  await startHere("leads,contacts,imports,service:worker");
  await expectWhole(meta, id);
});
