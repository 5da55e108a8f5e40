import { lead } from "../../entities/lead.ts";
import { personalFields } from "../../mixins/records/capabilities.ts";
import { personalData } from "../../mixins/privacy/personal-data.ts";

const sevenYears = 2555;

/** What leads hold of persons; part of leadsContract. */
export const leadsPersonalData = {
  leads: personalData({
    summary:
      "Leads, their reminders, and what an import or the undoing of a merge would restore; the lead stays as a deleted one with source, status and score, all else is deleted",
    tables: ["leads", "lead_reminders", "custom_field_values", "custom_field_index", "import_record_changes"],
    fields: [...personalFields(lead), "note"],
    retention: { default: sevenYears, least: 30, most: 36_500 },
  }),
};
