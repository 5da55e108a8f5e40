import type { ServiceSchema } from "moleculer";
import { product } from "../../entities/product.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { recordHandlers } from "../../mixins/records/handlers.ts";
import type { HandlersOf } from "../contracts.ts";
import { recordDesk } from "../record-desk.ts";
import { productsContract } from "./products.contract.ts";

/** What is sold. */
export default function productsService(runtime: Runtime): ServiceSchema {
  const handlers: HandlersOf<typeof productsContract> = recordHandlers(product, recordDesk(runtime));
  return createService(productsContract, handlers, runtime);
}
