import type { Database } from "../database.ts";
import { Place } from "./place.ts";
import { tenantTables, quote } from "./tenant-tables.ts";

/** What an operator is told; not well where something needs a look. */
export interface Report {
  lines: string[];
  isWell: boolean;
}

/** Every database with the organizations that live in it, or one organization. */
export async function listHomes(database: Database, organizationId?: string): Promise<Report> {
  const answers = await database.everywhere((tx) =>
    tx.query<{ organization_id: string; seq: string }>({
      text: "SELECT organization_id, seq FROM event_heads",
    }),
  );
  const organizations = await database.transaction({ platform: database.control }, (tx) =>
    tx.query<{ id: string; name: string; state: string; other_index: number | null }>({
      text: `SELECT o.id, o.name, coalesce(s.state, 'settled') AS state, s.other_index
        FROM control.organizations o LEFT JOIN control.organization_shards s ON s.organization_id = o.id
        WHERE $1::uuid IS NULL OR o.id = $1 ORDER BY o.id`,
      values: [organizationId ?? null],
    }),
  );
  if (organizationId !== undefined && organizations.length === 0)
    return { lines: [`There is no organization ${organizationId}.`], isWell: false };
  const lines: string[] = [];
  for (const [index, answer] of answers.entries()) {
    const here = organizations.filter(({ id }) => database.homes.indexOf(id) === index);
    if ("error" in answer)
      lines.push(`database ${index}: ${here.length} organizations; NO ANSWER: ${answer.error}`);
    else {
      const events = new Map(answer.answer.map(({ organization_id, seq }) => [organization_id, seq]));
      lines.push(`database ${index}: ${here.length} organizations`);
      for (const { id, name, state, other_index } of here) {
        const move = state === "moving" ? `, being moved to ${other_index}` : "";
        const rest = state === "cleaning" ? `, rows left in ${other_index}` : "";
        lines.push(`  ${id}  ${name}  ${events.get(id) ?? 0} events${move}${rest}`);
      }
    }
  }
  return { lines, isWell: answers.every((answer) => !("error" in answer)) };
}

/** Looks whether an organization's rows are in its home alone, and its feed has no hole. */
export async function verifyOrganization(
  urls: string[],
  database: Database,
  organizationId: string,
): Promise<Report> {
  const home = database.homes.indexOf(organizationId);
  const lines = [`lives in database ${home}`];
  let isWell = true;
  for (const [index, url] of urls.entries()) {
    const place = await Place.open(url, index, organizationId);
    try {
      const tables = await tenantTables(place.client);
      const counted = await place.asOrganization(async (client) => {
        const counts: string[] = [];
        for (const { name } of tables) {
          // the control database keeps keys of requests of organizations that live elsewhere
          if (index !== home && name === "idempotency_keys") continue;
          const { rows } = await client.query<{ rows: string }>(
            `SELECT count(*) AS rows FROM public.${quote(name)}`,
          );
          if (rows[0]?.rows !== "0") counts.push(`${name} ${rows[0]?.rows}`);
        }
        return counts;
      });
      lines.push(`database ${index}: ${counted.join(", ") || "nothing"}`);
      if (index !== home && counted.length > 0) {
        isWell = false;
        lines.push(
          `  rows are left here; "move" to database ${home} again deletes them, unless --keep left them`,
        );
      }
      if (index === home) {
        const hole = await place.asOrganization(async (client) => {
          const { rows } = await client.query<{ hole: string }>(
            `SELECT max(e.seq) - min(e.seq) + 1 - count(e.seq) <> 0 OR count(e.seq) <> count(DISTINCT e.seq)
               OR coalesce(max(e.seq), 0) > coalesce((SELECT seq FROM event_heads), 0) AS hole FROM events e`,
          );
          return rows[0]?.hole === "t";
        });
        if (hole) lines.push("  the feed has a hole");
        isWell &&= !hole;
      }
    } finally {
      await place.close();
    }
  }
  return { lines, isWell };
}
