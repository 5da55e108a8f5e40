import type { ServiceSchema } from "moleculer";
import { requirePermission } from "../../mixins/access/principal.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { kindOfMerge, undoMerge } from "../../mixins/records/handlers/merge.ts";
import type { HandlersOf } from "../contracts.ts";
import { recordDesk } from "../record-desk.ts";
import { recordsContract } from "./records.contract.ts";

/** What is done with records of whatever kind. */
export default function recordsService(runtime: Runtime): ServiceSchema {
  const desk = recordDesk(runtime);
  const handlers: HandlersOf<typeof recordsContract> = {
    async undoMerge(ctx) {
      const { principal, tx } = ctx.locals;
      // before the transaction: what it needs of the kind has to be loaded
      const kind = await kindOfMerge(desk.database.reader(tx.organizationId), ctx.params.id, desk);
      requirePermission(principal, `${kind.plural}:delete`);
      return { records: await undoMerge(ctx, ctx.params.id, kind, desk) };
    },
  };
  return createService(recordsContract, handlers, runtime);
}
