import type { Context, ServiceSchema } from "moleculer";
import { pipeline, type PipelineRow } from "../../entities/pipeline.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { recordHandlers } from "../../mixins/records/handlers.ts";
import { requireVersion } from "../../mixins/records/writing/input.ts";
import { storeOf } from "../../mixins/records/writing/store.ts";
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
  const records = recordHandlers(pipeline, desk, pipelineRules(desk));
  const handlers: HandlersOf<typeof pipelinesContract> = {
    ...records,
    /** Makes the default one, where there is none yet. */
    async list(ctx) {
      await cache.of(ctx.locals.principal.organizationId);
      return records.list(ctx);
    },
    create: (ctx) => announced(ctx, records.create(ctx)),
    update: (ctx) => announced(ctx, records.update(ctx)),
    async remove(ctx) {
      const { principal, tx } = ctx.locals;
      const { id, expectedVersion, force } = ctx.params;
      const row = await store.lock(tx, principal, id);
      requireVersion(row, expectedVersion);
      await requireUnused(tx, row, force);
      return announced(ctx, records.remove(ctx));
    },
    restore: (ctx) => announced(ctx, records.restore(ctx)),
    revert: (ctx) => announced(ctx, records.revert(ctx)),
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
