import type { ClientBase } from "pg";
import type { Place } from "./place.ts";
import { quote, type TenantTable } from "./tenant-tables.ts";

/** Longest the writers of a table wait for a trigger to be made, which waits for the transactions that write it. */
const lockTimeoutMs = 1_000;
const tries = 20;
/** SQLSTATE of a lock that took too long, and of a deadlock. */
const isLockTrouble = (error: unknown): boolean =>
  ["55P03", "40P01"].includes((error as { code?: string }).code ?? "");

/** Keys of changed rows by table. */
export type Changes = Map<string, string[][]>;

const triggersOf = (organizationId: string): string => `moves_${organizationId.replaceAll("-", "")}`;

/**
 * Has every change of the organization's rows logged from here on. When it returns, every transaction that wrote without
 * being logged is over, so that a snapshot taken later sees its rows.
 */
export async function logChanges(place: Place, organizationId: string, tables: TenantTable[]): Promise<void> {
  const trigger = triggersOf(organizationId);
  for (const [index, { name, key }] of tables.entries()) {
    const body = `${trigger}_${index}`;
    const keyOf = (row: string) =>
      `ARRAY[${key.map((column) => `${row}.${quote(column)}::text`).join(", ")}]`;
    const log = (row: string) =>
      `INSERT INTO moves.changes (organization_id, relation, key) VALUES (${row}.organization_id, '${name}', ${keyOf(row)});`;
    await withShortLocks(place, async (client) => {
      await client.query(`DROP FUNCTION IF EXISTS moves.${body} CASCADE;
        CREATE FUNCTION moves.${body}() RETURNS trigger LANGUAGE plpgsql AS $body$ BEGIN
          IF TG_OP <> 'INSERT' THEN ${log("OLD")} END IF;
          IF TG_OP = 'INSERT' OR TG_OP = 'UPDATE' AND ${keyOf("NEW")} <> ${keyOf("OLD")} THEN ${log("NEW")} END IF;
          RETURN NULL;
        END $body$;
        CREATE TRIGGER ${trigger}_write AFTER INSERT OR UPDATE ON public.${quote(name)} FOR EACH ROW
          WHEN (NEW.organization_id = '${organizationId}') EXECUTE FUNCTION moves.${body}();
        CREATE TRIGGER ${trigger}_delete AFTER DELETE ON public.${quote(name)} FOR EACH ROW
          WHEN (OLD.organization_id = '${organizationId}') EXECUTE FUNCTION moves.${body}()`);
    });
  }
}

/** Ends the logging, and forgets what was logged. */
export async function stopLogging(place: Place, organizationId: string): Promise<void> {
  const { rows } = await place.asOwner((client) =>
    client.query<{ name: string }>(
      "SELECT oid::regprocedure::text AS name FROM pg_proc WHERE pronamespace = 'moves'::regnamespace AND starts_with(proname, $1)",
      [triggersOf(organizationId)],
    ),
  );
  for (const { name } of rows)
    await withShortLocks(
      place,
      async (client) => void (await client.query(`DROP FUNCTION IF EXISTS ${name} CASCADE`)),
    );
  await place.asOrganization((client) => client.query("DELETE FROM moves.changes"));
}

/** What is logged, as the transaction sees it; `upTo` names just that for `forget`. */
export async function readChanges(client: ClientBase): Promise<{ changes: Changes; ids: string }> {
  const { rows } = await client.query<{ ids: string | null }>(
    "SELECT array_agg(id) AS ids FROM moves.changes",
  );
  const ids = rows[0]?.ids ?? "{}";
  const changed = await client.query<{ relation: string; key: string }>(
    "SELECT DISTINCT relation, array_to_json(key)::text AS key FROM moves.changes",
  );
  const changes: Changes = new Map();
  for (const { relation, key } of changed.rows) {
    const keys = changes.get(relation) ?? [];
    keys.push(JSON.parse(key) as string[]);
    changes.set(relation, keys);
  }
  return { changes, ids };
}

/** Forgets logged changes that were applied. What was logged meanwhile stays. */
export const forgetChanges = (place: Place, epoch: string, ids: string): Promise<unknown> =>
  place.asOrganization(
    (client) => client.query("DELETE FROM moves.changes WHERE id = ANY ($1::bigint[])", [ids]),
    {
      epoch,
    },
  );

/** Tries again while a lock on a busy table is not to be had: who waits for one keeps writers waiting behind it. */
async function withShortLocks(place: Place, work: (client: ClientBase) => Promise<void>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await place.asOwner(async (client) => {
        await client.query(`SET LOCAL lock_timeout = ${lockTimeoutMs}`);
        await work(client);
      });
      return;
    } catch (error) {
      if (!isLockTrouble(error) || attempt === tries) throw error;
    }
  }
}
