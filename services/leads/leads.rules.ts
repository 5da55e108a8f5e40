import { lead, type LeadInput, type LeadRow } from "../../entities/lead.ts";
import type { ScoringRule } from "../../entities/lead-settings.ts";
import { changeRecord, composeRecord, type Change } from "../../mixins/records/writing/changes.ts";
import type { CustomFields } from "../../mixins/records/finding/listing.ts";
import { leadAlreadyConverted } from "./leads.errors.ts";
import { factsOf } from "./scoring.facts.ts";
import { scoreOf } from "./scoring.rules.ts";

/** The rules in effect and their version; 0 are the defaults. */
export interface Scoring {
  rules: readonly ScoringRule[];
  version: number;
  /** Of custom fields, by which conditions compare them; default none. */
  definitions?: CustomFields;
}
type LeadChange = Change<LeadRow>;

/**
 * The row of a lead to be, complete but for what a pool may still decide: the assignee.
 * @throws 422 when it is larger than a record may be
 */
export function composeLead(
  input: LeadInput,
  { importId = null, ...own }: { id: string; organizationId: string; now: string; importId?: string | null },
  scoring: Scoring,
): LeadRow {
  return rescored({ ...composeRecord<LeadRow>(lead, input, own), import_id: importId }, scoring);
}

/** The same lead with the score these rules give it. */
export function rescored(row: LeadRow, scoring: Scoring): LeadRow {
  const { score, reasons } = scoreOf(scoring.rules, factsOf(row), scoring.definitions);
  return { ...row, score, score_reasons: reasons, scoring_version: scoring.version };
}

/**
 * A change of a lead as it may be: with the score that follows from it; a lead that gets a time of conversion, of a lead that was
 * merged into it, is converted.
 * @throws 409 LEAD_ALREADY_CONVERTED when it would give a converted lead another status
 */
export function decideLead(
  before: LeadRow,
  { row: wished, changes }: LeadChange,
  scoring: Scoring,
): LeadChange {
  if (before.status === "converted" && "status" in changes) throw leadAlreadyConverted();
  const told = { ...changes };
  const isConverted = wished.converted_at !== null && wished.status !== "converted";
  if (isConverted) told.status = [before.status, "converted"];
  const row = rescored(isConverted ? { ...wished, status: "converted" } : wished, scoring);
  delete told.score;
  if (row.score !== before.score) told.score = [before.score, row.score];
  return { row, changes: told };
}

/**
 * What an input makes of a lead; null when nothing differs. Custom fields and consent merge key by key.
 * @throws as `decideLead`; 422 when it would make the lead larger than a record may be
 */
export function changeLead(
  before: LeadRow,
  input: LeadInput,
  scoring: Scoring,
  now: string,
): LeadChange | null {
  const change = changeRecord(lead, before, input, now);
  return change && decideLead(before, change, scoring);
}

/** What a change of a lead is told as: `lead.assigned` for the assignee, `lead.updated` for the rest. */
export const verbsOf = ({ changes }: Pick<LeadChange, "changes">): string[] => [
  ...("assignedTo" in changes ? ["assigned"] : []),
  ...(Object.keys(changes).some((field) => field !== "assignedTo") ? ["updated"] : []),
];
