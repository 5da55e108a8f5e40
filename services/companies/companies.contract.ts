import { company } from "../../entities/company.ts";
import { defineContract } from "../../mixins/contract/contract.ts";
import {
  bulk,
  comparable,
  crud,
  eventsOf,
  historical,
  restorable,
  upsertable,
} from "../../mixins/records/capabilities.ts";

export const companiesContract = defineContract("companies", {
  actions: {
    ...crud(company),
    ...bulk(company),
    ...upsertable(company),
    ...restorable(company),
    ...historical(company),
    ...comparable(company),
  },
  events: { ...eventsOf(company) },
});
