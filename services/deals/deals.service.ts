import type { Context, ServiceSchema } from "moleculer";
import { deal, type DealRow } from "../../entities/deal.ts";
import { RateCache, ratesChanged } from "../../mixins/sales/rates.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { recordHandlers } from "../../mixins/records/handlers.ts";
import { storeOf } from "../../mixins/records/writing/store.ts";
import { PipelineCache, pipelinesChanged } from "../../mixins/sales/pipelines.ts";
import type { HandlersOf } from "../contracts.ts";
import { recordDesk } from "../record-desk.ts";
import { board } from "./board.ts";
import { dealsContract } from "./deals.contract.ts";
import { dealRules, type Desk } from "./deals.records.ts";
import { forecast } from "./forecast.ts";
import { lose, move, rebalance, win } from "./moves.ts";
import { dealsPersonalData } from "./personal-data.ts";

/** Deals on their way through the stages of pipelines. */
export default function dealsService(runtime: Runtime): ServiceSchema {
  const desk: Desk = { ...recordDesk(runtime), pipelines: new PipelineCache(runtime.database) };
  const rates = new RateCache(runtime);
  const rules = dealRules(desk);
  const counter = { kind: deal, desk, rules, store: storeOf<DealRow>(deal) };
  const records = recordHandlers(deal, desk, rules);
  const handlers: HandlersOf<typeof dealsContract> = {
    ...records,
    move: (ctx) => move(ctx, counter),
    win: (ctx) => win(ctx, counter),
    lose: (ctx) => lose(ctx, counter),
    board: (ctx) => board(ctx, counter, rates),
    forecast: (ctx) => forecast(ctx, counter, { rates, organizations: runtime.organizations }),
  };
  return createService(dealsContract, handlers, runtime, {
    jobs: { rebalance },
    personalData: dealsPersonalData(runtime),
    events: {
      [pipelinesChanged](ctx: Context<{ organizationId: string }>) {
        desk.pipelines.forget(ctx.params.organizationId);
      },
      [ratesChanged](ctx: Context<{ organizationId: string }>) {
        rates.forget(ctx.params.organizationId);
      },
    },
  });
}
