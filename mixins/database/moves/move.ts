import type { Homes, OrganizationHome } from "../homes.ts";
import { compareAll, compareChanged, ownOf } from "./compare.ts";
import { forgetChanges, logChanges, readChanges, stopLogging, type Changes } from "./changes.ts";
import {
  GateStayedOpen,
  admitJobs,
  beginPassage,
  bringJobs,
  closeGate,
  forgetJobs,
  reopenGate,
  switchHome,
  takeBack,
  type Passage,
} from "./gates.ts";
import { Place } from "./place.ts";
import { announceMove, findHome, settle } from "./records.ts";
import { applyChanges, copyRows, deleteRows } from "./rows.ts";
import { requireSameTables, tenantTables, type TenantTable } from "./tenant-tables.ts";
import { waitForOldTransactions } from "./old-transactions.ts";

const defaultPauseMs = 5_000;
/** Changed rows that are few enough to be carried over in the pause. */
const fewChanges = 500;
/** Times the copy is brought up to date before the pause begins all the same. */
const mostRounds = 10;
/** Times the gate is closed, when transactions under way take too long to end. */
const mostPauses = 10;
/** How long a job that ran while the organization moved may go on before the rest of the work is done without it. */
const runningJobsMs = 30_000;
export interface MoveOptions {
  organizationId: string;
  /** Index of the database it goes to. */
  to: number;
  /** Longest time for which nobody may write, in milliseconds; default 5,000, at most 8,000: calls wait 10 s. */
  pauseMs?: number;
  /** Leaves the rows in the old database, where nobody sees them; default false. */
  isKept?: boolean;
  /** Hears of each step before it is done. */
  step?: (step: MoveStep, told?: string) => void | Promise<void>;
}
export type MoveStep =
  | "begin"
  | "log changes"
  | "copy"
  | "catch up"
  | "pause"
  | "switch"
  | "announce"
  | "bring jobs"
  | "clean up"
  | "done";

/**
 * Moves an organization to another database while it works. Reads go on throughout; writes wait for the pause in which
 * the last changes are carried over, and go on in the new place.
 *
 * Die before `switch` commits: the organization goes on where it was, after the pause at the latest; call again to begin
 * anew, or `abandonMove`. Die after it: the first call of the organization, or a node within a second, lets it in at its
 * new home; call again to finish. A mover that was replaced by another is fenced by its epoch.
 * @param urls of every database, as Database.open gets them
 * @throws Error when another mover is at work, or the copies differ; it then stays where it was
 */
export async function moveOrganization(urls: string[], homes: Homes, options: MoveOptions): Promise<void> {
  const { organizationId, to, step = () => undefined } = options;
  if (urls[to] === undefined)
    throw new Error(`There is no database ${to}: there are ${urls.length}, from 0 on.`);
  const { pauseMs = defaultPauseMs } = options;
  if (pauseMs < 100 || pauseMs > 8_000) throw new Error("The pause is 100 to 8,000 ms: calls wait 10 s.");
  await asOnlyMover(urls, organizationId, async (control) => {
    const earlier = await findHome(control, homes, organizationId);
    if (earlier?.state === "cleaning") await finish(urls, control, earlier, options);
    const from = homes.indexOf(organizationId);
    if (from === to) {
      if (earlier?.state === "moving")
        throw new Error('A move elsewhere is half done: "abandon" takes it back.');
      await step("done", "it lives there");
      return;
    }
    await step("begin");
    const epoch = await announceMove(control, organizationId, from, to);
    await between(urls, { organizationId, epoch, from, to }, async (passage) => {
      try {
        await beginPassage(passage);
        await carryOver(passage, options);
      } catch (error) {
        await abandon(control, passage).catch(() => undefined);
        throw error;
      }
      await step("announce");
    });
    const arrived = await findHome(control, homes, organizationId);
    if (arrived?.state !== "cleaning")
      throw new Error("The new home was not announced; try again to finish.");
    await finish(urls, control, arrived, options);
    await step("done");
  });
}

/** Takes back a move whose mover died, so that nothing is left of it. @throws Error when the organization has moved */
export async function abandonMove(urls: string[], homes: Homes, organizationId: string): Promise<void> {
  await asOnlyMover(urls, organizationId, async (control) => {
    const home = await findHome(control, homes, organizationId);
    if (home?.state !== "moving" || home.otherIndex === null)
      throw new Error("The organization is not being moved.");
    const { epoch, databaseIndex: from, otherIndex: to } = home;
    await between(urls, { organizationId, epoch, from, to }, async (passage) => {
      if (!(await abandon(control, passage))) throw new Error("The organization has moved already.");
    });
  });
}

async function carryOver(passage: Passage, options: MoveOptions): Promise<void> {
  const { organizationId, epoch, source, target } = passage;
  const { pauseMs = defaultPauseMs, step = () => undefined } = options;
  const tables = await tenantTables(source.client);
  requireSameTables(tables, await tenantTables(target.client));
  await clearTarget(target, tables, organizationId, epoch);
  await step("log changes");
  await stopLogging(source, organizationId);
  await logChanges(source, organizationId, tables);
  await step("copy");
  await ensurePartitions(source, target);
  const copied = await copyRows(source, target, { tables, epoch });
  await step("catch up", `${copied} rows copied`);
  const since = new Date(Date.now() - 23 * 3_600_000).toISOString();
  for (let round = 0; round < mostRounds; round++) if ((await catchUp(passage, tables)) < fewChanges) break;
  await catchUp(passage, tables, (client) => compareAll(client, target, tables, since));

  for (let pause = 1; ; pause++) {
    await step("pause");
    try {
      await closeGate(passage, pauseMs);
      await bringJobs(passage);
      await catchUp(passage, tables, (client, changes) => compareChanged(client, target, tables, changes));
      await advanceIdentities(source, target, tables);
      await step("switch");
      await switchHome(passage);
      return;
    } catch (error) {
      await reopenGate(passage);
      if (!(error instanceof GateStayedOpen) || pause === mostPauses) throw error;
      await catchUp(passage, tables);
    }
  }
}

/** Applies what changed since the last time; answers how many rows. `check` runs while both show the same instant. */
async function catchUp(
  { source, target, epoch }: Passage,
  tables: TenantTable[],
  check: (client: Place["client"], changes: Changes) => Promise<void> = () => Promise.resolve(),
): Promise<number> {
  const { ids, changed } = await source.asOrganization(
    async () => {
      const { changes, ids } = await readChanges(source.client);
      await applyChanges(source.client, target, { tables, epoch, changes });
      await check(source.client, changes);
      return { ids, changed: [...changes.values()].reduce((sum, keys) => sum + keys.length, 0) };
    },
    { isSnapshot: true },
  );
  await forgetChanges(source, epoch, ids);
  return changed;
}

/** What the target holds of an earlier stay or an earlier try. */
async function clearTarget(
  target: Place,
  tables: TenantTable[],
  organizationId: string,
  epoch: string,
): Promise<void> {
  await deleteRows(target, ownOf(target, tables), epoch);
  await target.rows("DELETE FROM moves.jobs WHERE organization_id = $1", [organizationId]);
}
/** The months of the organization's events must have partitions: the feed never falls into the default one. */
async function ensurePartitions(source: Place, target: Place): Promise<void> {
  const { rows } = await source.asOrganization((client) =>
    client.query<{ month: string }>(
      "SELECT DISTINCT date_trunc('month', occurred_at)::date AS month FROM events",
    ),
  );
  for (const { month } of rows)
    await target.asOwner((client) => client.query("SELECT ensure_events_partition($1)", [month]));
}

/** Numbers that the target gives from here on are above those the rows came with: they order the events of an entity. */
async function advanceIdentities(source: Place, target: Place, tables: TenantTable[]): Promise<void> {
  const headroom = 1_000_000;
  const identities = await source.asOwner((client) =>
    client.query<{ sequence: string }>(
      `SELECT pg_get_serial_sequence(attrelid::regclass::text, attname) AS sequence FROM pg_attribute
       WHERE attrelid = ANY ($1::regclass[]) AND attidentity <> '' AND NOT attisdropped`,
      [tables.map(({ name }) => `public."${name}"`)],
    ),
  );
  for (const { sequence } of identities.rows) {
    const read = `SELECT last_value AS last FROM ${sequence}`;
    const [there, here] = await Promise.all(
      [source, target].map((place) => place.asOwner((client) => client.query<{ last: string }>(read))),
    );
    const last = BigInt(there?.rows[0]?.last ?? 0);
    if (last >= BigInt(here?.rows[0]?.last ?? 0))
      await target.asOwner((client) =>
        client.query("SELECT setval($1, $2)", [sequence, String(last + BigInt(headroom))]),
      );
  }
}

/** What is left to do once an organization lives in its new home. */
async function finish(
  urls: string[],
  control: Place,
  { organizationId, epoch, databaseIndex: to, otherIndex }: OrganizationHome,
  { isKept = false, step = () => undefined }: MoveOptions,
): Promise<void> {
  if (otherIndex !== null)
    await between(urls, { organizationId, epoch, from: otherIndex, to }, async (passage) => {
      const { source } = passage;
      await step("bring jobs");
      await bringRest(passage);
      await step("clean up");
      await stopLogging(source, organizationId);
      await passage.target.rows("DELETE FROM moves.jobs WHERE organization_id = $1", [organizationId]);
      await waitForOldTransactions(source);
      if (!isKept) await deleteRows(source, ownOf(source, await tenantTables(source.client)), epoch);
    });
  await settle(control, organizationId, epoch);
}

/** Jobs that ran during the switch, and are to run again. */
async function bringRest(passage: Passage): Promise<void> {
  const until = performance.now() + runningJobsMs;
  for (;;) {
    if ((await bringJobs(passage)) > 0) {
      await admitJobs(passage);
      await forgetJobs(passage);
    }
    const [left] = await passage.source.rows<{ jobs: string }>("SELECT moves.count_jobs($1) AS jobs", [
      passage.organizationId,
    ]);
    // the control database keeps jobs of organizations that live elsewhere
    if (left?.jobs === "0" || performance.now() > until) return;
    await new Promise((done) => setTimeout(done, 200));
  }
}

async function abandon(control: Place, passage: Passage): Promise<boolean> {
  const { organizationId, epoch, source, target } = passage;
  if (!(await takeBack(passage))) return false;
  // after this, another move may begin: from here on it fences this one
  if ((await settle(control, organizationId, epoch)).length === 0) return true;
  await stopLogging(source, organizationId);
  await deleteRows(target, ownOf(target, await tenantTables(target.client)), epoch);
  return true;
}

async function asOnlyMover(
  urls: string[],
  organizationId: string,
  work: (control: Place) => Promise<void>,
): Promise<void> {
  const control = await Place.open(urls[0] as string, 0, organizationId);
  try {
    const [lock] = await control.rows<{ taken: string }>(
      "SELECT pg_try_advisory_lock(7236004, uuid_hash($1)) AS taken",
      [organizationId],
    );
    if (lock?.taken !== "t") throw new Error("Another move of this organization is at work.");
    await work(control);
  } finally {
    await control.close();
  }
}

async function between(
  urls: string[],
  { from, to, ...move }: { organizationId: string; epoch: string; from: number; to: number },
  work: (passage: Passage) => Promise<void>,
): Promise<void> {
  const places: Place[] = [];
  try {
    for (const index of [from, to])
      places.push(await Place.open(urls[index] as string, index, move.organizationId));
    const [source, target] = places as [Place, Place];
    await work({ ...move, source, target });
  } finally {
    for (const place of places) await place.close();
  }
}
