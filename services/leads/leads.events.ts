import { v7 as uuidv7 } from "uuid";
import type { RecordedEvent, UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { LeadRow } from "./lead-row.ts";
import { leadView } from "./leads.view.ts";

type LeadEventType = "lead.created" | "lead.updated" | "lead.assigned" | "lead.deleted" | "lead.restored";

/**
 * An event of a lead as it is after the change.
 * @param more.formerAssignee whom it belonged to before: they may know that it left them
 */
export function leadEvent(
  type: LeadEventType,
  row: LeadRow,
  actorId: string | null,
  more: { changes?: string[]; formerAssignee?: string | null } = {},
) {
  return {
    type,
    entity: { kind: "lead", id: row.id, version: row.version },
    actorId,
    audience: audienceOf(row.assigned_to, more.formerAssignee),
    data: { lead: leadView(row), ...(more.changes && { changes: more.changes }) },
  };
}

/** Users of restricted roles who may see an event: the assignee, and the one before. */
export function audienceOf(...assignees: (string | null | undefined)[]): string[] {
  return [...new Set(assignees.filter((user) => typeof user === "string"))];
}

/** Appends many events with one statement, sent at commit. */
export function recordMany(tx: UnitOfWork, events: readonly RecordedEvent[]): void {
  if (events.length === 0) return;
  tx.defer({
    name: "insert_events",
    text: `INSERT INTO events
        (organization_id, id, type, entity_kind, entity_id, entity_version, actor_id, audience, data)
      SELECT $1, e.id, e.type, e.kind, e.entity_id, e.version, e.actor_id, e.audience, e.data
      FROM json_to_recordset($2) AS e
        (id uuid, type text, kind text, entity_id uuid, version integer, actor_id uuid, audience uuid[], data jsonb)`,
    values: [
      tx.organizationId,
      JSON.stringify(
        events.map(({ type, entity, actorId, audience, data }) => ({
          id: uuidv7(),
          type,
          kind: entity.kind,
          entity_id: entity.id,
          version: entity.version,
          actor_id: actorId,
          audience,
          data,
        })),
      ),
    ],
  });
  tx.markEvents();
}
