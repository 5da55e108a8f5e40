import { product } from "../../entities/product.ts";
import { defineContract } from "../../mixins/contract/contract.ts";
import { commentable } from "../../mixins/records/capabilities/comments.ts";
import { bulk, bulkChangeable } from "../../mixins/records/capabilities/many.ts";
import { exportable, importable } from "../../mixins/records/capabilities/files.ts";
import {
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
    ...commentable(product),
    ...comparable(product),
    ...mergeable(product),
    ...importable(product),
    ...exportable(product),
  },
  events: { ...eventsOf(product) },
});
