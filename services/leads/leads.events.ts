import { audienceOf } from "../../mixins/records/ownership.ts";
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
