import { recordSql } from "../../mixins/records/writing/record-events.ts";
import type { Principal } from "../../mixins/access/principal.ts";
import { localDaySql, type ZoneOffsets } from "../../mixins/contract/time-zone.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { Values } from "../../mixins/records/finding/listing.ts";
import { visibleRows } from "../../mixins/access/visibility.ts";
import type { Period } from "./analytics.rules.ts";

/**
 * The days on which leads were captured or converted that events behind `after`, up to `seq`, are about; null when some
 * of these events are no longer kept. Those days are all that an event can change: a lead's never move.
 */
export async function touchedDays(
  tx: UnitOfWork,
  { after, seq, offsets }: { after: number; seq: number; offsets: ZoneOffsets },
): Promise<string[] | null> {
  const [found] = await tx.query<{ events: number; days: string[] }>({
    name: "days_of_events",
    text: `WITH news AS MATERIALIZED (
        SELECT CASE WHEN entity_kind = 'lead' THEN ${recordSql} END AS lead FROM events WHERE seq > $1 AND seq <= $2
      ), instants (instant) AS (
        SELECT (lead ->> 'createdAt')::timestamptz FROM news
        UNION SELECT (lead ->> 'convertedAt')::timestamptz FROM news
      ) SELECT (SELECT count(*)::int FROM news) AS events,
        ARRAY(SELECT DISTINCT ${localDaySql("instant", "$3", "$4")} FROM instants WHERE instant IS NOT NULL)::text[] AS days`,
    values: [after, seq, offsets.from, offsets.seconds],
  });
  return found?.events === seq - after ? found.days : null;
}

/** Counts the leads of these days anew, or with null of all. */
export async function recount(tx: UnitOfWork, offsets: ZoneOffsets, days: string[] | null): Promise<void> {
  if (days?.length === 0) return;
  const values = [offsets.from, offsets.seconds, tx.organizationId];
  if (days === null) {
    await tx.execute({ text: "DELETE FROM lead_days" });
    await tx.execute({ text: countText(""), values });
  } else {
    await tx.execute({ text: "DELETE FROM lead_days WHERE day = ANY ($1)", values: [days] });
    await tx.execute({ text: touchedText + countText("JOIN touched"), values: [...values, days] });
  }
}

// No zone is a day away from UTC. The bounds are columns, for under row-level security only a plain comparison may use an index.
const touchedText = `WITH touched AS MATERIALIZED (
  SELECT day, (day - 1)::timestamp AT TIME ZONE 'UTC' AS since, (day + 2)::timestamp AT TIME ZONE 'UTC' AS until
  FROM unnest($4::date[]) AS days (day)
)
`;

const localDay = (instant: string): string => localDaySql(instant, "$1", "$2");

/** In: the zone's `from` and `seconds`, organization. @param touched joins the days to be counted; empty: all are */
function countText(touched: "JOIN touched" | ""): string {
  const those = (instant: string) =>
    touched
    && `JOIN touched ON ${instant} >= since AND ${instant} < until AND ${localDay(instant)} = touched.day`;
  return `INSERT INTO lead_days (organization_id, day, source, assigned_to, captured, converted, conversions)
    SELECT $3, day, source, assigned_to, sum(captured), sum(converted), sum(conversions) FROM (
      SELECT ${localDay("created_at")} AS day, source, assigned_to,
        1 AS captured, (converted_at IS NOT NULL)::int AS converted, 0 AS conversions
      FROM leads ${those("created_at")} WHERE deleted_at IS NULL
      UNION ALL
      SELECT ${localDay("converted_at")}, source, assigned_to, 0, 0, 1
      FROM leads ${those("converted_at")} WHERE deleted_at IS NULL AND converted_at IS NOT NULL
    ) AS counted GROUP BY day, source, assigned_to`;
}

/** Sums of lead_days; of day, source and assignedTo those that they are by. */
export interface LeadFigures {
  day: string;
  source?: string | null;
  assignedTo?: string | null;
  captured: number;
  converted: number;
  conversions: number;
}
const columns = { day: "day::text", source: "source", assignedTo: "assigned_to" };

/** Figures of the leads in a period that the principal may see, in the order of what they are by; at most `limit`. */
export async function findFigures(
  tx: UnitOfWork,
  principal: Principal,
  options: { period: Period; by: (keyof typeof columns)[]; limit: number },
): Promise<LeadFigures[]> {
  const { period, by, limit } = options;
  const values = new Values();
  const where = [
    `day BETWEEN ${values.add(period.from)} AND ${values.add(period.to)}`,
    ...visibleRows(principal, values),
  ];
  const named = by.map((name) => `${columns[name]} AS "${name}", `).join("");
  const grouping = by.map((name) => columns[name]).join(", ");
  return tx.query<LeadFigures & Record<string, unknown>>({
    text: `SELECT ${named}coalesce(sum(captured), 0)::int AS captured, coalesce(sum(converted), 0)::int AS converted,
        coalesce(sum(conversions), 0)::int AS conversions
      FROM lead_days WHERE ${where.join(" AND ")} GROUP BY ${grouping || "()"}
      ${grouping && `ORDER BY ${grouping}`} LIMIT ${limit}`,
    values: values.list,
  });
}
