import { requireTrustedClock } from "../../../mixins/concurrency/clock-watch.ts";
import type { Database } from "../../../mixins/database/database.ts";
import type { Scope } from "../../../mixins/database/scope.ts";
import { inTransaction } from "../../../mixins/database/transaction.ts";
import type { Shard } from "../../../mixins/database/shard.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import { sqlState } from "../../../mixins/contract/errors.ts";
import { enqueue, type JobCtx } from "../../contracts.ts";

const rowsAtOnce = 5_000;
const foreignKeyViolation = "23503";

/** A table with rows of organizations. */
interface TenantTable {
  /** With its schema. */
  name: string;
  /** Columns of its primary key. */
  key: string;
  /** Whether the app's role may delete: row-level security then holds even a wrong statement to the organization. */
  byApp: boolean;
}

/** Adds a job for each organization whose time is over, begun or not, and for a last look at those just erased. */
export async function findErasures(ctx: JobCtx<"identity.findErasures">): Promise<void> {
  const { tx } = ctx.locals;
  await requireTrustedClock(tx);
  const due = await tx.query<{ id: string }>({
    text: `(SELECT id FROM control.organizations WHERE deletion_due_at <= now() ORDER BY deletion_due_at LIMIT 100)
      UNION SELECT organization_id FROM control.erasure_receipts WHERE erased_at > now() - interval '3 hours'`,
  });
  for (const { id } of due) enqueue(tx, "identity.eraseOrganization", { organizationId: id }, { key: id });
}

/**
 * Erases everything of an organization. Its data key goes first: what was sealed is lost from there on, in backups too.
 * It may die anywhere and run twice: what is gone is gone, and the organization's own row, by which it is found
 * again, goes last, together with the end of its receipt. What was under way meanwhile is found in the hours after.
 */
export async function eraseOrganization(
  ctx: JobCtx<"identity.eraseOrganization">,
  database: Database,
): Promise<void> {
  const { organizationId } = ctx.params;
  const platform = database.control;
  const isDue = await database.transaction({ platform }, (tx) => begin(tx, organizationId));
  if (!isDue) return;
  let erased: number;
  do {
    erased = 0;
    for (const shard of database.shards) {
      await dropJobs(database, shard, organizationId);
      await eraseRows(shard, organizationId, async (table, rows) => {
        erased += rows;
        await database.transaction({ platform }, (tx) => count(tx, organizationId, table, rows));
      });
    }
  } while (erased > 0);
  await database.transaction({ platform }, async (tx) => {
    await tx.execute({ text: "DELETE FROM control.organizations WHERE id = $1", values: [organizationId] });
    await tx.execute({
      text: "UPDATE control.erasure_receipts SET erased_at = coalesce(erased_at, now()) WHERE organization_id = $1",
      values: [organizationId],
    });
  });
}

/**
 * Closes the way back, opens the receipt and destroys the data key. False when the organization was restored, or while
 * it is on its way to another database: what is copied behind an erasure would stay.
 */
async function begin(tx: UnitOfWork, organizationId: string): Promise<boolean> {
  await requireTrustedClock(tx);
  // a move that begins holds this row until all can see it
  await tx.query({
    text: "SELECT FROM control.organizations WHERE id = $1 FOR UPDATE",
    values: [organizationId],
  });
  const [due] = await tx.query<{ deletion_requested_by: string | null }>({
    text: `UPDATE control.organizations SET erasing_at = coalesce(erasing_at, now())
      WHERE id = $1 AND deletion_due_at <= now() AND NOT EXISTS (
        SELECT FROM control.organization_shards WHERE organization_id = $1 AND state <> 'settled')
      RETURNING deletion_requested_by`,
    values: [organizationId],
  });
  const [receipt] = due
    ? []
    : await tx.query({
        text: "SELECT FROM control.erasure_receipts WHERE organization_id = $1",
        values: [organizationId],
      });
  if (!due && !receipt) return false;
  await tx.execute({
    text: `INSERT INTO control.erasure_receipts (organization_id, requested_by, started_at) VALUES ($1, $2, now())
      ON CONFLICT DO NOTHING`,
    values: [organizationId, due?.deletion_requested_by],
  });
  await tx.execute({
    text: "DELETE FROM control.organization_keys WHERE organization_id = $1",
    values: [organizationId],
  });
  return true;
}

async function dropJobs(database: Database, platform: Shard, organizationId: string): Promise<void> {
  const dropSome = () =>
    database.transaction({ platform }, async (tx) => {
      const [dropped] = await tx.query<{ jobs: number }>({
        text: "SELECT drop_jobs_of($1) AS jobs",
        values: [organizationId],
      });
      return dropped?.jobs ?? 0;
    });
  while ((await dropSome()) > 0);
}

/**
 * Deletes the organization's rows from every table of a database, as its catalog lists them now: a table that is
 * added tomorrow is in. Tables that others still point to wait for the next pass.
 */
async function eraseRows(
  shard: Shard,
  organizationId: string,
  counted: (table: string, rows: number) => Promise<void>,
): Promise<void> {
  let waiting = await inTransaction(shard, { platform: true }, tenantTables);
  while (waiting.length > 0) {
    const blocked: TenantTable[] = [];
    for (const table of waiting)
      try {
        const rows = await eraseTable(shard, organizationId, table);
        if (rows > 0) await counted(table.name, rows);
      } catch (error) {
        if (sqlState(error) !== foreignKeyViolation) throw error;
        blocked.push(table);
      }
    if (blocked.length === waiting.length)
      throw new Error(`Rows of ${blocked.map(({ name }) => name).join(", ")} are still pointed to`);
    waiting = blocked;
  }
}

async function eraseTable(shard: Shard, organizationId: string, table: TenantTable): Promise<number> {
  const { name, key, byApp } = table;
  // past its gate, on this very database: rows of an organization that has moved may be left in another than its own
  const scope: Scope = byApp ? { organizationId, home: "control" } : { platform: true };
  const eraseSome = () =>
    inTransaction(shard, scope, (tx) =>
      tx.execute({
        text: `DELETE FROM ${name} WHERE organization_id = $1 AND (${key}) IN (
          SELECT ${key} FROM ${name} WHERE organization_id = $1 LIMIT ${rowsAtOnce})`,
        values: [organizationId],
      }),
    );
  let erased = 0;
  for (;;) {
    const rows = await eraseSome();
    erased += rows;
    if (rows < rowsAtOnce) return erased;
  }
}

const tenantTables = (tx: UnitOfWork): Promise<TenantTable[]> =>
  tx.query<TenantTable & Record<string, unknown>>({
    text: `SELECT format('%I.%I', n.nspname, c.relname) AS name,
        has_table_privilege('sangam_app', c.oid, 'DELETE') AS "byApp",
        (SELECT string_agg(quote_ident(k.attname), ', ') FROM pg_index i
          JOIN pg_attribute k ON k.attrelid = c.oid AND k.attnum = ANY (i.indkey)
          WHERE i.indrelid = c.oid AND i.indisprimary) AS key
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
      WHERE n.nspname IN ('public', 'control', 'moves') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
        AND (n.nspname, c.relname) <> ('control', 'erasure_receipts')
      ORDER BY 1`,
  });

const count = async (tx: UnitOfWork, organizationId: string, table: string, rows: number): Promise<void> =>
  void (await tx.execute({
    text: `UPDATE control.erasure_receipts
      SET counts = jsonb_set(counts, ARRAY[$2::text], to_jsonb(coalesce((counts ->> $2)::bigint, 0) + $3::bigint))
      WHERE organization_id = $1`,
    values: [organizationId, table, rows],
  }));
