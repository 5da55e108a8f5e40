import type { ScoreReason } from "../../entities/leads.ts";
import type { leadStatuses } from "./lead.schemas.ts";

/** A row of `leads`, as tx.query reads it and insertLeads and updateLeads write it: times are ISO 8601 in UTC. */
export interface LeadRow {
  id: string;
  organization_id: string;
  external_id: string | null;
  first_name: string | null;
  last_name: string | null;
  email: string | null;
  phone: string | null;
  company_name: string | null;
  title: string | null;
  source: string | null;
  status: (typeof leadStatuses)[number];
  score: number;
  score_reasons: ScoreReason[];
  scoring_version: number;
  assigned_to: string | null;
  tags: string[];
  custom_fields: Record<string, unknown>;
  consent: Record<string, unknown>;
  last_activity_at: string | null;
  converted_at: string | null;
  deleted_at: string | null;
  /** The import that wrote the lead last. */
  import_id: string | null;
  created_at: string;
  updated_at: string;
  version: number;
}

/** A row of a list; see `sharedReasons`. */
export type ListedLeadRow = Omit<LeadRow, "score_reasons"> & { score_reasons: string };

/** Columns that name the row and never change. */
const identity = ["organization_id", "id", "created_at"] as const;
/** Columns that a change may write. */
export const mutableColumns = [
  ...[
    "external_id",
    "first_name",
    "last_name",
    "email",
    "phone",
    "company_name",
    "title",
    "source",
    "status",
  ],
  ...["score", "score_reasons", "scoring_version", "assigned_to", "tags", "custom_fields", "consent"],
  ...["last_activity_at", "converted_at", "deleted_at", "import_id", "updated_at", "version"],
] as const;
export const leadColumns: readonly string[] = [...identity, ...mutableColumns];
