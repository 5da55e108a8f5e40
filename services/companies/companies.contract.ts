import { company } from "../../entities/company.ts";
import { defineContract } from "../../mixins/contract/contract.ts";
import {
  bulk,
  bulkChangeable,
  comparable,
  crud,
  eventsOf,
  historical,
  mergeable,
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
    ...comparable(company),
    ...mergeable(company),
  },
  events: { ...eventsOf(company) },
});
