import type { ScoringRule } from "../../entities/leads.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { Shard, UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { Poller } from "../../mixins/poller.ts";
import { leadColumns, type LeadRow } from "./lead-row.ts";
import { leadEvent, recordMany } from "./leads.events.ts";
import { updateLeads } from "./leads.repository.ts";
import { rescored } from "./leads.rules.ts";

const batchSize = 500;

/** One walk over an organization's leads with one version of its rules. */
interface Pass {
  version: number;
  /** Leads up to this id have been looked at. */
  after: string;
  /** Whether nobody could write a score of older rules any more when the pass began. */
  isLast: boolean;
}
const beforeAll = "00000000-0000-0000-0000-000000000000";

/**
 * Gives every lead the score of its organization's newest rules. The work is a row: scoring_rules whose
 * rescored_version is behind. A node that dies leaves it so, and any other goes on; leads that have the score already are
 * passed over. One pass runs at once; the last, which marks the work as done, begins `settleMs` after
 * the change, when captures that had read the old rules have ended and no cache holds them.
 */
export class Rescorer {
  readonly #database: Database;
  readonly #settleMs: number;
  readonly #onEvents: (organizationId: string) => void;
  #poller: Poller | undefined;
  /** Passes this process has begun or ended, by organization. Forgetting them costs only a walk. */
  readonly #passes = new Map<string, Pass & { isOver: boolean }>();

  /** @param options.settleMs longer than settings are cached and an action may last; default 60 s */
  constructor(
    database: Database,
    options: { onEvents: (organizationId: string) => void; settleMs?: number },
  ) {
    this.#database = database;
    this.#onEvents = options.onEvents;
    this.#settleMs = options.settleMs ?? 60_000;
  }

  start(onError: (error: Error) => void): void {
    this.#poller = new Poller({ name: "rescoring leads", everyMs: 2000, run: () => this.round(), onError });
    this.#poller.start();
  }
  kick(): void {
    this.#poller?.kick();
  }
  async stop(): Promise<void> {
    await this.#poller?.stop();
  }

  /** A batch of each organization that has work; true when some has more. */
  async round(): Promise<boolean> {
    let hasMore = false;
    for (const shard of this.#database.shards)
      for (const work of await this.#findWork(shard)) hasMore = (await this.#advance(work)) || hasMore;
    return hasMore;
  }

  #findWork(shard: Shard): Promise<{ organization_id: string; version: number; is_settled: boolean }[]> {
    return this.#database.transaction({ platform: shard }, (tx) =>
      tx.query({
        text: `SELECT organization_id, version, updated_at < now() - $1 * interval '1 ms' AS is_settled
          FROM scoring_rules WHERE rescored_version < version ORDER BY updated_at`,
        values: [this.#settleMs],
      }),
    );
  }

  async #advance(work: { organization_id: string; version: number; is_settled: boolean }): Promise<boolean> {
    const { organization_id: organizationId, version, is_settled: isSettled } = work;
    let pass = this.#passes.get(organizationId);
    if (pass?.version === version && pass.isOver && !isSettled) return false;
    if (pass?.version !== version || pass.isOver)
      pass = { version, after: beforeAll, isLast: isSettled, isOver: false };
    this.#passes.set(organizationId, pass);
    const rows = await this.#batch(organizationId, pass);
    if (rows === undefined) return false; // another node is at it
    pass.after = rows.at(-1)?.id ?? pass.after;
    pass.isOver = rows.length < batchSize;
    if (pass.isOver && pass.isLast) this.#passes.delete(organizationId);
    return !pass.isOver;
  }

  /** Rescores the next leads of a pass in one transaction; undefined while another node has the organization. */
  async #batch(organizationId: string, pass: Pass): Promise<LeadRow[] | undefined> {
    const result = await this.#database.transaction({ organizationId }, async (tx) => {
      const [rules] = await tx.query<{ is_mine: boolean; version: number; rules: ScoringRule[] }>({
        text: `SELECT pg_try_advisory_xact_lock(hashtextextended('rescore ' || organization_id, 0)) AS is_mine,
          version, rules FROM scoring_rules`,
      });
      if (rules?.is_mine !== true || rules.version !== pass.version) return undefined;
      const rows = await tx.query<LeadRow>({
        text: `SELECT ${leadColumns.join(", ")} FROM leads
          WHERE scoring_version <> $1 AND id > $2 ORDER BY id LIMIT ${batchSize} FOR NO KEY UPDATE`,
        values: [pass.version, pass.after],
      });
      const hasEvents = rescoreBatch(tx, rows, rules);
      if (rows.length < batchSize && pass.isLast)
        tx.defer({
          text: "UPDATE scoring_rules SET rescored_version = $1 WHERE version = $1",
          values: [pass.version],
        });
      return { rows, hasEvents };
    });
    if (result?.hasEvents) this.#onEvents(organizationId);
    return result?.rows;
  }
}

/** Writes the new scores, and events for those that differ; answers whether there are any. */
function rescoreBatch(
  tx: UnitOfWork,
  rows: LeadRow[],
  rules: { rules: ScoringRule[]; version: number },
): boolean {
  const scored = rows.map((before) => {
    const row = rescored(before, rules);
    if (row.score === before.score) return row;
    return { ...row, version: before.version + 1, updated_at: tx.now.toISOString() };
  });
  const changed = scored.filter((row, index) => row.score !== rows[index]?.score);
  updateLeads(tx, scored);
  followImports(tx, changed);
  recordMany(
    tx,
    changed
      .filter((row) => row.deleted_at === null)
      .map((row) => leadEvent("lead.updated", row, null, { changes: ["score"] })),
  );
  return tx.hasEvents;
}

/** A new score is nobody's work on the lead: its import may still be rolled back. */
function followImports(tx: UnitOfWork, rows: LeadRow[]): void {
  const imported = rows.filter((row) => row.import_id !== null);
  if (imported.length === 0) return;
  tx.defer({
    text: `UPDATE import_changes c SET version = l.version
      FROM unnest($1::uuid[], $2::uuid[], $3::int[]) AS l (import_id, id, version)
      WHERE c.import_id = l.import_id AND c.lead_id = l.id AND c.version = l.version - 1`,
    values: [
      imported.map((row) => row.import_id),
      imported.map((row) => row.id),
      imported.map((row) => row.version),
    ],
  });
}
