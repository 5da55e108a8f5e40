import { spawn } from "node:child_process";
import { once } from "node:events";
import { moveOrganization, type MoveOptions, type MoveStep } from "../../mixins/database/moves/move.ts";
import { inspect } from "./database.ts";
import { shardUrl } from "./leads.ts";
import type { TestNode } from "./node.ts";

/** Moves an organization as the command line does, in this process. */
export const move = (
  { databases, runtime }: TestNode,
  organizationId: string,
  to: number,
  options: Partial<MoveOptions> = {},
): Promise<void> => moveOrganization(databases, runtime.database.homes, { organizationId, to, ...options });

/** Begins a move in a process of its own that is killed when it comes to `step`. */
export async function moveAndDie(
  { databases }: TestNode,
  organizationId: string,
  to: number,
  step: MoveStep,
): Promise<void> {
  const child = spawn(
    process.execPath,
    ["test/support/killed-mover.ts", JSON.stringify(databases), organizationId, String(to), step],
    { stdio: ["ignore", "inherit", "inherit"], timeout: 60_000 },
  );
  const [, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
  if (signal !== "SIGKILL") throw new Error(`the mover ended before it came to "${step}"`);
}

/** Rows of an organization in each database, past row-level security. */
export const rowsByDatabase = (
  { databases }: TestNode,
  organizationId: string,
  table: string,
): Promise<number[]> =>
  Promise.all(
    databases.map(async (url) => {
      const [row] = await inspect<{ rows: number }>(
        url,
        `SELECT count(*)::int AS rows FROM ${table} WHERE organization_id = $1`,
        [organizationId],
      );
      return row?.rows ?? 0;
    }),
  );

/** What of an organization's feed is wrong: holes, repeated places, events without one. */
export async function feedTroubles({ databases }: TestNode, organizationId: string): Promise<string[]> {
  const events = (
    await Promise.all(
      databases.map((url) =>
        inspect<{ seq: string | null }>(url, "SELECT seq FROM events WHERE organization_id = $1", [
          organizationId,
        ]),
      ),
    )
  ).flat();
  const places = events.map(({ seq }) => Number(seq)).toSorted((a, b) => a - b);
  return places
    .flatMap((place, index) => (place === index + 1 ? [] : [`${index + 1} is ${place}`]))
    .slice(0, 5);
}

/** What is stored of the leads that Writers made, as they tell it. */
export async function storedLeads(
  node: TestNode,
  organizationId: string,
): Promise<Map<string, string | null>> {
  const found = await inspect<{ external_id: string; first_name: string; is_deleted: boolean }>(
    shardUrl(node, organizationId),
    `SELECT external_id, first_name, deleted_at IS NOT NULL AS is_deleted FROM leads
     WHERE organization_id = $1 AND external_id IS NOT NULL AND import_id IS NULL`,
    [organizationId],
  );
  return new Map(found.map((lead) => [lead.external_id, lead.is_deleted ? null : lead.first_name]));
}
