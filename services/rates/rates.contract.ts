import { rate } from "../../entities/rate.ts";
import { defineContract } from "../../mixins/contract/contract.ts";
import { crud, eventsOf, historical, restorable } from "../../mixins/records/capabilities.ts";

const records = crud(rate);

export const ratesContract = defineContract("rates", {
  tables: { owns: ["rates"] },
  actions: {
    ...records,
    create: { ...records.create, fails: [409] },
    list: { ...records.list, params: records.list.params.omit({ q: true }) },
    update: { ...records.update, fails: [409, 410] },
    ...restorable(rate),
    ...historical(rate),
  },
  events: { ...eventsOf(rate) },
});
