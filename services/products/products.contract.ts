import { product } from "../../entities/product.ts";
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

export const productsContract = defineContract("products", {
  tables: { owns: ["products"] },
  actions: {
    ...crud(product),
    ...bulk(product),
    ...bulkChangeable(product),
    ...upsertable(product),
    ...restorable(product),
    ...historical(product),
    ...comparable(product),
    ...mergeable(product),
  },
  events: { ...eventsOf(product) },
});
