import type { ScoreReason } from "../../entities/leads.ts";
import type { LeadRow, ListedLeadRow } from "./lead-row.ts";
import type { LeadView } from "./lead.schemas.ts";

/** A lead as the API shows it. One literal over the row: a list makes 200 of them for each request. */
export const leadView = (row: LeadRow | ListedLeadRow): LeadView => ({
  id: row.id,
  externalId: row.external_id,
  firstName: row.first_name,
  lastName: row.last_name,
  email: row.email,
  phone: row.phone,
  companyName: row.company_name,
  title: row.title,
  source: row.source,
  status: row.status,
  score: row.score,
  scoreReasons: typeof row.score_reasons === "string" ? sharedReasons(row.score_reasons) : row.score_reasons,
  assignedTo: row.assigned_to,
  tags: row.tags,
  customFields: row.custom_fields,
  consent: row.consent,
  lastActivityAt: row.last_activity_at,
  convertedAt: row.converted_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  version: row.version,
});

const mostShared = 2_000;
const longestShared = 2_000;
const shared = new Map<string, ScoreReason[]>();

/**
 * The reasons of a listed lead. Rules give few different ones, and parsing each lead's was a tenth of a list's time: the
 * same text is one value, which nobody can change.
 */
function sharedReasons(text: string): ScoreReason[] {
  const known = shared.get(text);
  if (known) return known;
  const reasons = (JSON.parse(text) as ScoreReason[]).map((reason) => Object.freeze(reason));
  if (shared.size >= mostShared) shared.clear();
  if (text.length <= longestShared) shared.set(text, Object.freeze(reasons) as ScoreReason[]);
  return reasons;
}
