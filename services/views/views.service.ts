import type { ServiceSchema } from "moleculer";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import type { HandlersOf } from "../contracts.ts";
import { viewsPersonalData } from "./personal-data.ts";
import * as views from "./views.actions.ts";
import { viewsContract } from "./views.contract.ts";

/** Lists that users keep. */
export default function viewsService(runtime: Runtime): ServiceSchema {
  const { definitions } = runtime;
  const handlers: HandlersOf<typeof viewsContract> = {
    list: (ctx) => views.list(ctx, definitions),
    create: (ctx) => views.create(ctx, definitions),
    get: (ctx) => views.get(ctx, definitions),
    update: (ctx) => views.update(ctx, definitions),
    remove: views.remove,
  };
  return createService(viewsContract, handlers, runtime, { personalData: viewsPersonalData });
}
