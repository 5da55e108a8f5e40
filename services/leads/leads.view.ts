import type { LeadRow } from "./lead-row.ts";
import type { LeadView } from "./lead.schemas.ts";

/** A lead as the API shows it. One literal over the row: a list makes 200 of them for each request. */
export const leadView = (row: LeadRow): LeadView => ({
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
  scoreReasons: row.score_reasons,
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
