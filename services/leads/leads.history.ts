import { badRequest } from "../../mixins/contract/errors.ts";
import { pageBytes } from "../../mixins/database/statement.ts";
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
      values: [id, cursor === undefined ? lastPosition : decodeCursor(cursor), limit + 1],
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
    page: { nextCursor: hasMore && last ? encodeCursor(last.position) : null, hasMore },
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
const encodeCursor = (position: string): string => Buffer.from(position).toString("base64url");
function decodeCursor(cursor: string): string {
  const position = Buffer.from(cursor, "base64url").toString("utf8");
  if (!/^\d{1,18}$/.test(position))
    throw badRequest("INVALID_CURSOR", "The cursor is not one of this timeline.");
  return position;
}

/** Most leads that are told to be duplicates of one. */
const mostDuplicates = 100;

/** Other leads with the same email or phone, oldest first; at most 100, fewer of large ones. */
export async function duplicates(
  ctx: Ctx<"leads.duplicates">,
  desk: Desk,
): Promise<Result<"leads.duplicates">> {
  const { actor, tx } = ctx.locals;
  const fields = await SensitiveFields.of(ctx, desk, await desk.settings.of(tx.organizationId));
  const lead = await getLead(tx, actor, ctx.params.id);
  if (lead.email === null && lead.phone === null) return { data: [] };
  const values = new Values();
  const [id, email, phone] = [lead.id, lead.email, lead.phone].map((value) => values.add(value));
  const isShown = [`id <> ${id}`, "deleted_at IS NULL", ...visibleRows(actor, values)].join(" AND ");
  const { rows } = await tx.queryWithin<LeadRow>({
    text: `SELECT ${leadColumns.join(", ")} FROM leads
      WHERE id IN (SELECT id FROM leads WHERE email = ${email} UNION SELECT id FROM leads WHERE phone = ${phone})
        AND ${isShown}
      ORDER BY created_at, id LIMIT ${mostDuplicates}`,
    values: values.list,
    mostBytes: pageBytes,
  });
  const shown = await fields.show(tx, rows.map(leadView));
  return {
    data: rows.map((row, index) => ({
      lead: shown[index] as LeadView,
      matchedBy: (["email", "phone"] as const).filter((key) => row[key] !== null && row[key] === lead[key]),
    })),
  };
}
