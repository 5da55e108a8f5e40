import { isUuid, pageBytes } from "../../mixins/database/statement.ts";
import { decodeCursor, encodeCursor, invalidCursor } from "../../mixins/records/cursor.ts";
import { Values } from "../../mixins/records/listing.ts";
import { visibleRows } from "../../mixins/access/visibility.ts";
import type { Ctx, Result } from "../contracts.ts";
import type { Desk } from "./desk.ts";
import type { LeadView } from "./lead.schemas.ts";
import { leadColumns, type LeadRow } from "./lead-row.ts";
import { getLead } from "./leads.repository.ts";
import { leadView } from "./leads.view.ts";
import { SensitiveFields } from "./sensitive-fields.ts";

/** What happened to a lead, newest first. The cursor is the position of an event in the order of writing. */
export async function timeline(ctx: Ctx<"leads.timeline">): Promise<Result<"leads.timeline">> {
  const { actor, tx } = ctx.locals;
  const { id, limit, cursor } = ctx.params;
  const [, { rows, isCut }] = await Promise.all([
    getLead(tx, actor, id),
    tx.queryWithin<EventRow>({
      text: `SELECT id, type, actor_id, occurred_at, entity_version, data, position FROM events
        WHERE entity_id = $1 AND entity_kind = 'lead' AND position < $2 ORDER BY position DESC LIMIT $3`,
      values: [id, cursor === undefined ? lastPosition : positionOf(cursor, id), limit + 1],
      mostBytes: pageBytes,
    }),
  ]);
  const hasMore = rows.length > limit || isCut;
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  return {
    data: page.map((row) => ({
      id: row.id,
      type: row.type,
      actorId: row.actor_id,
      occurredAt: row.occurred_at,
      entityVersion: row.entity_version,
      data: row.data,
    })),
    page: { nextCursor: hasMore && last ? encodeCursor(["timeline", id], [last.position]) : null, hasMore },
  };
}

type EventRow = {
  id: string;
  type: string;
  actor_id: string | null;
  occurred_at: string;
  entity_version: number;
  data: unknown;
  /** A bigint, as text. */
  position: string;
};

/** Greatest bigint. */
const lastPosition = "9223372036854775807";
function positionOf(cursor: string, leadId: string): string {
  const [position] = decodeCursor(["timeline", leadId], cursor, 1);
  if (!/^\d{1,18}$/.test(String(position))) throw invalidCursor();
  return String(position);
}

/** Other leads with the same email or phone, oldest first. */
export async function duplicates(
  ctx: Ctx<"leads.duplicates">,
  desk: Desk,
): Promise<Result<"leads.duplicates">> {
  const { actor, tx } = ctx.locals;
  const { limit, cursor } = ctx.params;
  const bound = ["duplicates", ctx.params.id];
  const after = cursor === undefined ? undefined : placeOf(cursor, bound);
  const fields = await SensitiveFields.of(ctx, desk, await desk.settings.of(tx.organizationId));
  const lead = await getLead(tx, actor, ctx.params.id);
  if (lead.email === null && lead.phone === null)
    return { data: [], page: { nextCursor: null, hasMore: false } };
  const values = new Values();
  const [id, email, phone] = [lead.id, lead.email, lead.phone].map((value) => values.add(value));
  const isShown = [`id <> ${id}`, "deleted_at IS NULL", ...visibleRows(actor, values)];
  if (after) isShown.push(`(created_at, id) > (${values.add(after.createdAt)}, ${values.add(after.id)})`);
  const { rows, isCut } = await tx.queryWithin<LeadRow>({
    text: `SELECT ${leadColumns.join(", ")} FROM leads
      WHERE id IN (SELECT id FROM leads WHERE email = ${email} UNION SELECT id FROM leads WHERE phone = ${phone})
        AND ${isShown.join(" AND ")}
      ORDER BY created_at, id LIMIT ${limit + 1}`,
    values: values.list,
    mostBytes: pageBytes,
  });
  const hasMore = rows.length > limit || isCut;
  const page = rows.slice(0, limit);
  const last = page.at(-1);
  const shown = await fields.show(tx, page.map(leadView));
  return {
    data: page.map((row, index) => ({
      lead: shown[index] as LeadView,
      matchedBy: (["email", "phone"] as const).filter((key) => row[key] !== null && row[key] === lead[key]),
    })),
    page: {
      nextCursor: hasMore && last ? encodeCursor(bound, [last.created_at, last.id]) : null,
      hasMore,
    },
  };
}

function placeOf(cursor: string, bound: unknown): { createdAt: string; id: string } {
  const [createdAt, id] = decodeCursor(bound, cursor, 2).map(String) as [string, string];
  if (Number.isNaN(Date.parse(createdAt)) || !isUuid(id)) throw invalidCursor();
  return { createdAt, id };
}
