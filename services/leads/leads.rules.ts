import { isDeepStrictEqual } from "node:util";
import type { ScoringRule } from "../../entities/leads.ts";
import type { FieldError } from "../../mixins/contract/errors.ts";
import { columnOf, type CustomFields } from "../../mixins/records/listing.ts";
import { readPhone } from "../../mixins/values/phone.ts";
import { mergeKeys } from "../../mixins/records/changes.ts";
import { distinct } from "../../mixins/records/fields.ts";
import { requireFits, type RecordContent } from "../../mixins/records/record-limits.ts";
import type { LeadInput } from "./lead.schemas.ts";
import { invalidPhone, leadAlreadyConverted } from "./leads.errors.ts";
import type { LeadRow } from "./lead-row.ts";
import { factsOf } from "./scoring.facts.ts";
import { scoreOf } from "./scoring.rules.ts";

/** The rules in effect and their version; 0 are the defaults. */
export interface Scoring {
  rules: readonly ScoringRule[];
  version: number;
  /** Of custom fields, by which conditions compare them; default none. */
  definitions?: CustomFields;
}

/** The input with its phone as it is stored and each tag once, or what is wrong with it. */
export function normalise<T extends LeadInput>(input: T): { input: T; problems: FieldError[] } {
  const normal = { ...input };
  if (input.tags !== undefined) normal.tags = distinct(input.tags);
  if (typeof input.phone !== "string") return { input: normal, problems: [] };
  const reading = readPhone(input.phone);
  if ("doubt" in reading) return { input: normal, problems: [invalidPhone(reading.doubt)] };
  normal.phone = reading.phone;
  return { input: normal, problems: [] };
}

/** What of a lead its callers decide how large it is. Reasons of its score are bounded by the rules that give them. */
export const contentOf = (row: LeadRow): RecordContent => ({
  texts: [
    ...[row.external_id, row.first_name, row.last_name, row.email, row.phone, row.company_name],
    ...[row.title, row.source],
  ],
  tags: row.tags,
  customFields: row.custom_fields,
  consent: row.consent,
});

/**
 * The row of a lead to be, complete but for what a pool may still decide: the assignee.
 * @throws 422 when it is larger than a record may be
 */
export function composeLead(
  input: LeadInput,
  {
    id,
    organizationId,
    now,
    importId = null,
  }: { id: string; organizationId: string; now: string; importId?: string | null },
  scoring: Scoring,
): LeadRow {
  const row: LeadRow = {
    id,
    organization_id: organizationId,
    external_id: input.externalId ?? null,
    first_name: input.firstName ?? null,
    last_name: input.lastName ?? null,
    email: input.email ?? null,
    phone: input.phone ?? null,
    company_name: input.companyName ?? null,
    title: input.title ?? null,
    source: input.source ?? null,
    status: input.status ?? "new",
    score: 0,
    score_reasons: [],
    scoring_version: scoring.version,
    assigned_to: input.assignedTo ?? null,
    tags: input.tags ?? [],
    custom_fields: mergeKeys({}, input.customFields ?? {}),
    consent: mergeKeys({}, input.consent ?? {}),
    last_activity_at: null,
    converted_at: null,
    deleted_at: null,
    import_id: importId,
    created_at: now,
    updated_at: now,
    version: 1,
  };
  requireFits(contentOf(row));
  return rescored(row, scoring);
}

/** The same lead with the score these rules give it. */
export function rescored(row: LeadRow, scoring: Scoring): LeadRow {
  const { score, reasons } = scoreOf(scoring.rules, factsOf(row), scoring.definitions);
  return { ...row, score, score_reasons: reasons, scoring_version: scoring.version };
}

/** A lead after a change, and the names of the fields that differ. */
export interface LeadChange {
  row: LeadRow;
  changes: string[];
}

/**
 * What an input makes of a lead; null when nothing differs. Custom fields and consent merge key by key.
 * @throws 409 LEAD_ALREADY_CONVERTED when it would give a converted lead another status; 422 when it would make the lead larger
 *   than a record may be
 */
export function changeLead(
  before: LeadRow,
  input: LeadInput,
  scoring: Scoring,
  now: string,
): LeadChange | null {
  if (before.status === "converted" && input.status !== undefined) throw leadAlreadyConverted();
  const wanted: Record<string, unknown> = {};
  const changes: string[] = [];
  for (const [field, value] of Object.entries(input)) {
    if (value === undefined) continue;
    const column = columnOf(field) as keyof LeadRow;
    const next =
      field === "customFields" || field === "consent"
        ? mergeKeys(before[column] as Record<string, unknown>, value as Record<string, unknown>)
        : value;
    if (isDeepStrictEqual(next, before[column])) continue;
    wanted[column] = next;
    changes.push(field);
  }
  if (changes.length === 0) return null;
  const wished = { ...before, ...wanted, version: before.version + 1, updated_at: now };
  requireFits(contentOf(wished), contentOf(before));
  const row = rescored(wished, scoring);
  if (row.score !== before.score) changes.push("score");
  return { row, changes };
}

/** A change by which sensitive fields, which the row does not hold, change too: the lead gets a version and an event. */
export function withSensitive(
  before: LeadRow,
  change: LeadChange | null,
  hasSensitive: boolean,
  now: string,
): LeadChange | null {
  if (!hasSensitive) return change;
  const { row, changes } = change ?? {
    row: { ...before, version: before.version + 1, updated_at: now },
    changes: [],
  };
  return { row, changes: [...new Set([...changes, "customFields"])] };
}

/** How leads are named where it is said whose they are. */
export const leads = { plural: "leads" };
