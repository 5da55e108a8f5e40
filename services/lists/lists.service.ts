import type { ServiceSchema } from "moleculer";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import type { HandlersOf } from "../contracts.ts";
import { recordDesk } from "../record-desk.ts";
import * as entries from "./entries.actions.ts";
import * as lists from "./lists.actions.ts";
import { listsContract } from "./lists.contract.ts";
import { listsPersonalData } from "./personal-data.ts";

/** Records that are chosen by hand, with fields of their own. */
export default function listsService(runtime: Runtime): ServiceSchema {
  const desk = recordDesk(runtime);
  const handlers: HandlersOf<typeof listsContract> = {
    list: lists.list,
    create: lists.create,
    get: lists.get,
    update: lists.update,
    remove: lists.remove,
    listEntries: entries.listEntries,
    getEntry: entries.getEntry,
    addEntry: (ctx) => entries.addEntry(ctx, desk),
    updateEntry: (ctx) => entries.updateEntry(ctx, desk),
    removeEntry: entries.removeEntry,
    addMany: (ctx) => entries.addMany(ctx, desk),
    applyOperation: (ctx) => entries.applyOperation(ctx, desk),
  };
  return createService(listsContract, handlers, runtime, { personalData: listsPersonalData });
}
