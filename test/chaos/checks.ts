import { eventually } from "../support/eventually.ts";
import type { Cluster } from "./cluster.ts";
import type { Follower } from "./followers.ts";
import type { Journals } from "./journals.ts";
import type { Load } from "./workloads.ts";

/** What a check found, counted; a line for each thing that must not be. */
export interface Verdict {
  lost: number;
  doubled: number;
  /** Jobs that ran again after they had run: allowed, at least once is what a job promises. */
  rerun: number;
  problems: string[];
}

const quietWithinMs = 150_000;
const tellEveryMs = 10_000;
const mostTold = 5;

/**
 * Waits until everything that was begun has come to its end.
 * @param say hears now and then what is waited for
 * @returns what has not ended, instead of waiting for ever
 */
export async function becomeQuiet(
  cluster: Cluster,
  followers: readonly Follower[],
  say: (line: string) => void,
): Promise<string[]> {
  let toldAt = performance.now();
  const tell = (left: readonly string[]) => {
    if (left.length === 0 || performance.now() < toldAt + tellEveryMs) return;
    toldAt = performance.now();
    say(`  waits for ${left.join("; ")}`);
  };
  try {
    await eventually(async () => {
      const left = await unfinished(cluster);
      tell(left);
      if (left.length > 0) throw new Error(left.join("; "));
      return true;
    }, quietWithinMs);
    const [{ head } = { head: 0 }] = await cluster.query<{ head: number }>(
      "SELECT max(seq)::int AS head FROM events",
    );
    await eventually(() => {
      const behind = followers
        .map(({ name, seen }) => ({ name, at: seen.at(-1)?.seq ?? 0 }))
        .filter(({ at }) => at < head)
        .map(({ name, at }) => `${name} is at ${at} of ${head}`);
      tell(behind);
      if (behind.length > 0) throw new Error(behind.join(", "));
      return true;
    }, quietWithinMs);
    return [];
  } catch (error) {
    return [`not quiet after ${quietWithinMs / 1000} s: ${(error as Error).message}`];
  }
}

/** Work that is still under way. Jobs of the clock come up every second and do not count while they are fresh. */
async function unfinished(cluster: Cluster): Promise<string[]> {
  const [row] = await cluster.query<Record<string, string | null>>(`SELECT
    (SELECT count(*) FROM events WHERE seq IS NULL) AS "events without a place",
    (SELECT count(*) FROM imports WHERE status IN ('pending', 'running')) AS "imports under way",
    (SELECT string_agg(format('%s %s, %s tries, %s%s', t.identifier, j.payload -> 'payload', j.attempts,
        CASE WHEN j.locked_at IS NULL THEN 'waits ' || extract(epoch FROM j.run_at - now())::int || ' s' ELSE 'runs' END,
        ' ' || j.last_error), ', ')
      FROM graphile_worker._private_jobs j JOIN graphile_worker._private_tasks t ON t.id = j.task_id
      WHERE j.attempts < j.max_attempts AND (t.identifier <> 'witness.tick' OR j.run_at < now() - interval '3 s')
    ) AS "jobs",
    (SELECT count(*) FROM listener_cursors WHERE seq < target OR is_scheduled) AS "listeners behind",
    (SELECT count(*) FROM listener_holds) AS "entities held back",
    (SELECT count(*) FROM graphile_worker._private_jobs j
      WHERE j.locked_by IS NOT NULL AND j.locked_by NOT IN (SELECT worker_id FROM worker_leases)
    ) AS "jobs locked by workers that are gone",
    (SELECT count(*) FROM pg_stat_activity WHERE datname = 'sangam' AND state LIKE 'idle in transaction%'
      AND state_change < now() - interval '3 s') AS "transactions left open",
    (SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid) WHERE l.locktype = 'advisory'
      AND a.xact_start < now() - interval '3 s') AS "advisory locks held"`);
  return Object.entries(row ?? {})
    .filter((entry): entry is [string, string] => entry[1] !== null && entry[1] !== "0")
    .map(([what, found]) => `${what}: ${found.slice(0, 500)}`);
}

/** Whether what was acknowledged is there, once, and nothing else. */
export async function check(
  cluster: Cluster,
  options: {
    load: Load;
    journals: Journals;
    followers: readonly Follower[];
    step: string;
    since: string;
    poolId: string;
  },
): Promise<Verdict> {
  const { load, journals, followers, step, since, poolId } = options;
  const verdict: Verdict = { lost: 0, doubled: 0, rerun: 0, problems: [] };
  const blame = (kind: "lost" | "doubled", what: string, which: readonly unknown[]) => {
    if (which.length === 0) return;
    verdict[kind] += which.length;
    verdict.problems.push(`${which.length} ${what}: ${which.slice(0, mostTold).join(", ")}`);
  };

  const stored = await cluster.query<{ id: string; mark: string; version: number }>(
    "SELECT id, last_name AS mark, version FROM leads WHERE last_name LIKE $1 || '-%'",
    [step],
  );
  const byMark = Map.groupBy(stored, ({ mark }) => mark);
  const expected = [...load.leads.keys(), ...load.rows];
  blame(
    "lost",
    "leads lost",
    expected.filter((mark) => !byMark.has(mark)),
  );
  blame(
    "doubled",
    "leads twice",
    [...byMark].filter(([, rows]) => rows.length > 1).map(([mark]) => mark),
  );
  const asked = new Set(expected);
  blame(
    "doubled",
    "leads nobody was told of",
    [...byMark.keys()].filter((mark) => !asked.has(mark)),
  );
  const captured = [...load.leads].map(([mark, lead]) => ({ mark, ...lead, row: byMark.get(mark)?.[0] }));
  blame(
    "lost",
    "leads with another id than was told",
    captured.filter(({ id, row }) => row && row.id !== id).map(({ mark }) => mark),
  );
  blame(
    "lost",
    "changes lost",
    captured.filter(({ changes, row }) => row && row.version < 1 + changes).map(({ mark }) => mark),
  );
  blame(
    "doubled",
    "changes twice",
    captured.filter(({ changes, row }) => row && row.version > 1 + changes).map(({ mark }) => mark),
  );

  await checkAssignments(cluster, poolId, blame);
  await checkTurns(cluster, journals, blame);
  await checkFeed(cluster, followers, blame);
  await checkListeners(cluster, blame);
  await checkTicks(cluster, blame);
  const ended = cluster.members.filter(
    ({ process: { child } }) => child.exitCode !== null || child.signalCode !== null,
  );
  blame(
    "lost",
    "processes that ended by themselves",
    ended.map(({ name }) => name),
  );
  const [rerun] = await cluster.query<{ count: number }>(
    `SELECT ((SELECT count(*) - count(DISTINCT (organization_id, seq)) FROM witness_receipts WHERE ran_at > $1)
      + (SELECT count(*) - count(DISTINCT scheduled_for) FROM witness_ticks WHERE ran_at > $1))::int AS count`,
    [since],
  );
  verdict.rerun = rerun?.count ?? 0;
  // without an error, a newer job of its key replaced it while it ran, and then its worker was gone
  const dead = await cluster.query<{ job: string }>(
    `SELECT t.identifier || ' ' || j.last_error AS job FROM graphile_worker._private_jobs j
     JOIN graphile_worker._private_tasks t ON t.id = j.task_id
     WHERE j.attempts >= j.max_attempts AND j.locked_at IS NULL AND j.last_error IS NOT NULL`,
  );
  blame(
    "lost",
    "dead jobs",
    dead.map(({ job }) => job),
  );
  return verdict;
}

type Blame = (kind: "lost" | "doubled", what: string, which: readonly unknown[]) => void;

/**
 * A pool that goes round gives each member as many as the others, but for the one it has come to and for turns that were
 * taken for a lead which then was not stored.
 */
async function checkAssignments(cluster: Cluster, poolId: string, blame: Blame): Promise<void> {
  const members = await cluster.query<{ leads: number }>(
    `SELECT (SELECT count(*)::int FROM leads l WHERE l.assigned_to = (m ->> 'userId')::uuid) AS leads
     FROM assignment_pools p, jsonb_array_elements(p.members) m WHERE p.id = $1`,
    [poolId],
  );
  const [router] = await cluster.query<{ position: number }>(
    "SELECT (state -> 'position')::int AS position FROM actors WHERE kind = 'leads.router' AND id = $1",
    [poolId],
  );
  const counts = members.map(({ leads }) => leads);
  const unused = (router?.position ?? 0) - counts.reduce((sum, count) => sum + count, 0);
  if (unused < 0) blame("doubled", "turns of the pool handed out twice", [-unused]);
  if (Math.max(...counts) - Math.min(...counts) > 1 + Math.max(0, unused))
    blame("lost", "turns of the pool out of order", [counts.join("/")]);
}

/** Every acknowledged turn of a journal is there once, where it was told to be, and the lines have no holes. */
async function checkTurns(cluster: Cluster, journals: Journals, blame: Blame): Promise<void> {
  for (const [journal, acknowledged] of journals.lines) {
    const turns = await cluster.query<{ line: number; message: string }>(
      "SELECT line, message_id AS message FROM witness_turns WHERE journal = $1 ORDER BY line",
      [journal],
    );
    const lineOf = new Map(turns.map(({ message, line }) => [message, line]));
    const lost = [...acknowledged].filter(([message, { line }]) => lineOf.get(message) !== line);
    blame(
      "lost",
      `turns of journal ${journal} lost`,
      lost.map(([, { line }]) => line),
    );
    blame(
      "doubled",
      `turns of journal ${journal} twice`,
      turns.filter(({ message, line }) => lineOf.get(message) !== line).map(({ line }) => line),
    );
    blame(
      "lost",
      `turns of journal ${journal} out of order`,
      turns.filter(({ line }, index) => line !== index + 1).map(({ line }) => line),
    );
    // a message that was sent after another was answered stands below it
    let earliestAnswer = Infinity;
    const overtaken = [...acknowledged.values()]
      .sort((a, b) => b.line - a.line)
      .filter(({ begunAt, acknowledgedAt }) => {
        const isOvertaken = begunAt > earliestAnswer;
        earliestAnswer = Math.min(earliestAnswer, acknowledgedAt);
        return isOvertaken;
      });
    blame(
      "lost",
      `turns of journal ${journal} overtaken`,
      overtaken.map(({ line }) => line),
    );
  }
}

/** Every follower saw every event once, in order, as it is in the table. */
async function checkFeed(cluster: Cluster, followers: readonly Follower[], blame: Blame): Promise<void> {
  const events = await cluster.query<{ seq: number; type: string; entity: string; version: number }>(
    "SELECT seq::int, type, entity_id AS entity, entity_version AS version FROM events ORDER BY seq",
  );
  blame(
    "lost",
    "places of the feed that nothing stands at",
    events.flatMap(({ seq }, index) => (seq === index + 1 ? [] : [seq])),
  );
  for (const { name, seen } of followers) {
    const seqs = seen.map(({ seq }) => seq);
    const known = new Set(seqs);
    blame(
      "lost",
      `events that ${name} missed`,
      events.flatMap(({ seq }) => (known.has(seq) ? [] : [seq])),
    );
    blame(
      "doubled",
      `events that ${name} got again or out of order`,
      seqs.filter((seq, index) => index > 0 && seq <= (seqs[index - 1] as number)),
    );
    const wrong = seen.filter(({ seq, type, entity }) => {
      const event = events[seq - 1];
      return event?.type !== type || event.entity !== entity.id || event.version !== entity.version;
    });
    blame(
      "lost",
      `events that ${name} was shown as others`,
      wrong.map(({ seq }) => seq),
    );
  }
}

/** The listener's own writes: each event once, a lead's in order; and a job for each new lead. */
async function checkListeners(cluster: Cluster, blame: Blame): Promise<void> {
  const heard = await cluster.query<{ seq: string; times: number; type: string; ran: number }>(
    `SELECT e.seq, e.type, (SELECT count(*)::int FROM witness_heard h WHERE h.seq = e.seq) AS times,
       (SELECT count(*)::int FROM witness_receipts r WHERE r.seq = e.seq) AS ran
     FROM events e WHERE e.type IN ('lead.created', 'lead.updated')`,
  );
  blame(
    "lost",
    "events not heard",
    heard.filter(({ times }) => times === 0).map(({ seq }) => seq),
  );
  blame(
    "doubled",
    "events heard twice",
    heard.filter(({ times }) => times > 1).map(({ seq }) => seq),
  );
  blame(
    "lost",
    "jobs that never ran",
    heard.filter(({ type, ran }) => type === "lead.created" && ran === 0).map(({ seq }) => seq),
  );
  const disordered = await cluster.query<{ seq: string }>(
    `SELECT seq FROM (SELECT seq, lag(seq) OVER (PARTITION BY entity_id ORDER BY id) AS before FROM witness_heard) heard
     WHERE before > seq`,
  );
  blame(
    "lost",
    "events of a lead heard out of order",
    disordered.map(({ seq }) => seq),
  );
}

/** From the first tick to the last that is over: each second noted once, and its job ran. */
async function checkTicks(cluster: Cluster, blame: Blame): Promise<void> {
  const missed = await cluster.query<{ tick: Date }>(
    `SELECT tick FROM (SELECT min(scheduled_for) AS first, max(scheduled_for) AS last FROM control.cron_runs
        WHERE job = 'witness.tick') noted,
       generate_series(noted.first, noted.last - interval '5 s', interval '1 s') tick
     WHERE NOT EXISTS (SELECT FROM control.cron_runs WHERE job = 'witness.tick' AND scheduled_for = tick)`,
  );
  blame(
    "lost",
    "ticks not noted",
    missed.map(({ tick }) => tick.toISOString()),
  );
  const silent = await cluster.query<{ tick: Date }>(
    // the very first one marks where a new job begins and does not run
    `SELECT scheduled_for AS tick FROM control.cron_runs c WHERE job = 'witness.tick'
       AND scheduled_for > (SELECT min(scheduled_for) FROM control.cron_runs WHERE job = 'witness.tick')
       AND scheduled_for < now() - interval '10 s'
       AND NOT EXISTS (SELECT FROM witness_ticks w WHERE w.scheduled_for = c.scheduled_for)
       AND NOT EXISTS (SELECT FROM graphile_worker._private_jobs j WHERE j.key LIKE '%witness.tick%')`,
  );
  blame(
    "lost",
    "ticks that never ran",
    silent.map(({ tick }) => tick.toISOString()),
  );
}
