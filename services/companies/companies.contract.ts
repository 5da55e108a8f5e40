import { company } from "../../entities/company.ts";
import { defineContract } from "../../mixins/contract/contract.ts";
import { commentable } from "../../mixins/records/capabilities/comments.ts";
import { personalData } from "../../mixins/privacy/personal-data.ts";
import { exportable, importable } from "../../mixins/records/capabilities/files.ts";
import { bulk, bulkChangeable } from "../../mixins/records/capabilities/many.ts";
import {
  comparable,
  crud,
  eventsOf,
  historical,
  mergeable,
  overviewed,
  personalFields,
  restorable,
  upsertable,
} from "../../mixins/records/capabilities.ts";

export const companiesContract = defineContract("companies", {
  tables: { owns: ["companies"] },
  actions: {
    ...crud(company),
    ...bulk(company),
    ...bulkChangeable(company),
    ...upsertable(company),
    ...restorable(company),
    ...historical(company),
    ...overviewed(company),
    ...commentable(company),
    ...comparable(company),
    ...mergeable(company),
    ...importable(company),
    ...exportable(company),
  },
  events: { ...eventsOf(company) },
  personalData: {
    companies: personalData({
      summary:
        "Companies are nobody; of what is kept of them, values of custom fields, labels and a phone that show the person are taken away",
      tables: ["companies"],
      fields: personalFields(company),
    }),
  },
});
