import type { Context, ServiceSchema } from "moleculer";
import { pipeline, type PipelineRow } from "../../entities/pipeline.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { recordHandlers } from "../../mixins/records/handlers.ts";
import { requireVersion } from "../../mixins/records/input.ts";
import { storeOf } from "../../mixins/records/store.ts";
import { PipelineCache, pipelinesChanged } from "../../mixins/sales/pipelines.ts";
import type { Ctx, HandlersOf } from "../contracts.ts";
import { recordDesk } from "../record-desk.ts";
import { pipelinesContract } from "./pipelines.contract.ts";
import { pipelineRules, requireUnused } from "./pipelines.records.ts";

/** Pipelines, and the stages that deals go through. */
export default function pipelinesService(runtime: Runtime): ServiceSchema {
  const desk = recordDesk(runtime);
  const cache = new PipelineCache(runtime.database);
  const store = storeOf<PipelineRow>(pipeline);
  const { crud, restorable, historical } = recordHandlers(pipeline, desk, pipelineRules(desk));
  const handlers: HandlersOf<typeof pipelinesContract> = {
    ...crud,
    /** Makes the default one, where there is none yet. */
    async list(ctx) {
      await cache.of(ctx.locals.principal.organizationId);
      return crud.list(ctx);
    },
    create: (ctx) => announced(ctx, crud.create(ctx)),
    update: (ctx) => announced(ctx, crud.update(ctx)),
    async remove(ctx) {
      const { principal, tx } = ctx.locals;
      const { id, expectedVersion, force } = ctx.params;
      const row = await store.lock(tx, principal, id);
      requireVersion(row, expectedVersion);
      await requireUnused(tx, row, force);
      return announced(ctx, crud.remove(ctx));
    },
    ...historical,
    restore: (ctx) => announced(ctx, restorable.restore(ctx)),
    revert: (ctx) => announced(ctx, historical.revert(ctx)),
  };
  return createService(pipelinesContract, handlers, runtime, {
    events: {
      [pipelinesChanged](ctx: Context<{ organizationId: string }>) {
        cache.forget(ctx.params.organizationId);
      },
    },
  });
}

/** After the commit, every process forgets its copy. */
function announced<R>({ broker, locals }: Pick<Ctx<"pipelines.get">, "broker" | "locals">, answer: R): R {
  const { organizationId } = locals.principal;
  locals.tx.afterCommit(() => void broker.broadcast(pipelinesChanged, { organizationId }));
  return answer;
}
