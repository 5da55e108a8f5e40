import { z } from "zod";
import { deal } from "../../entities/deal.ts";
import { stage } from "../../entities/pipeline.ts";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { expectedVersion, id, money, text, timestamp, wholeNumber } from "../../mixins/contract/schemas.ts";
import { commentable } from "../../mixins/records/capabilities/comments.ts";
import { job } from "../../mixins/jobs/job-spec.ts";
import { personalData } from "../../mixins/privacy/personal-data.ts";
import { bulk, bulkChangeable } from "../../mixins/records/capabilities/many.ts";
import { exportable, importable } from "../../mixins/records/capabilities/files.ts";
import {
  comparable,
  crud,
  eventsOf,
  historical,
  mergeable,
  personalFields,
  recordData,
  restorable,
  upsertable,
  withoutSensitive,
} from "../../mixins/records/capabilities.ts";
import { listParams } from "../../mixins/records/finding/listing.ts";

const changed = {
  returns: deal.view,
  kept: withoutSensitive,
  permission: "deals:update",
  fails: [409, 410],
} as const;
const withoutRate = z.array(z.strictObject({ amount: money, count: z.number().int() }));
const month = z.string().regex(/^\d{4}-(0[1-9]|1[0-2])$/, "must be a month, such as 2026-11");
const forecastRow = z
  .strictObject({
    /** In the organization's time zone; null: of deals that have no date to close. By month alone. */
    month: z.string().nullable().optional(),
    /** Null: of nobody's deals. By owner alone. */
    ownerId: id.nullable().optional(),
    /** Amounts of open deals, each times the probability of its stage. Stages of the category `omitted` are in nothing. */
    weighted: money,
    /** Whole amounts of open deals in stages of the category `bestCase`. */
    bestCase: money,
    /** The same of `commit`. */
    commit: money,
    won: money,
  })
  .meta({ id: "ForecastRow" });
const card = deal.view
  .extend({
    /** Since when it is in its stage for longer than that says; null: it is not. */
    rottingSince: timestamp.nullable(),
  })
  .meta({ id: "BoardCard" });
const column = z
  .strictObject({
    stage,
    /** Whether it was taken out of the pipeline; it is shown while deals are in it. */
    isRemoved: z.boolean(),
    count: z.number().int(),
    /** Of all its deals, in the organization's currency: by the rates of now, of a closed deal by those of when it was closed. */
    amount: money,
    /** The same by currency. */
    amounts: z.array(money),
    /** What of them is not in `amount`, for its currency has no rate then. */
    withoutRate,
    cards: z.array(card),
    /** For the next cards of this stage. */
    nextCursor: z.string().nullable(),
  })
  .meta({ id: "BoardColumn" });

export const dealsContract = defineContract("deals", {
  tables: { owns: ["deals", "deal_line_items", "deal_contacts"], reads: ["companies"] },
  actions: {
    ...crud(deal),
    ...bulk(deal),
    ...bulkChangeable(deal),
    ...upsertable(deal),
    ...restorable(deal),
    ...historical(deal),
    ...commentable(deal),
    ...comparable(deal),
    ...mergeable(deal),
    ...importable(deal),
    ...exportable(deal),
    move: action({
      summary:
        "Puts a deal into a stage of its pipeline, before or after another deal; at its end where neither is given",
      params: z.strictObject({
        id,
        stageId: id,
        before: id.optional(),
        after: id.optional(),
        expectedVersion,
      }),
      ...changed,
      rest: "POST /deals/:id/move",
      example: { params: { stageId: "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f" } },
    }),
    win: action({
      summary: "Puts a deal into the first stage where deals are won",
      params: z.strictObject({ id, expectedVersion }),
      ...changed,
      rest: "POST /deals/:id/win",
    }),
    lose: action({
      summary: "Puts a deal into the first stage where deals are lost",
      params: z.strictObject({ id, reason: text(500), expectedVersion }),
      ...changed,
      rest: "POST /deals/:id/lose",
      example: { params: { reason: "Bought from a competitor" } },
    }),
    board: action({
      summary: "The deals of a pipeline by stage, each with its first cards in their order",
      params: listParams(deal.listing)
        .omit({ sort: true, cursor: true, count: true, fields: true })
        .extend({
          id,
          limit: wholeNumber(1, 200).default(50),
          /** Only this stage; with `cursor` its next cards. */
          stageId: id.optional(),
          cursor: z.string().max(1000).optional(),
          /** Only those that are in their stage for longer than that says. */
          isRotting: z
            .union([z.boolean(), z.enum(["true", "false"]).transform((text) => text === "true")])
            .default(false),
        })
        .refine(({ cursor, stageId }) => cursor === undefined || stageId !== undefined, {
          path: ["stageId"],
          error: "must be given with a cursor",
        }),
      returns: z.strictObject({ columns: z.array(column) }),
      reads: true,
      permission: "deals:read",
      rest: "GET /pipelines/:id/board",
    }),
    forecast: action({
      summary:
        "What a pipeline's open deals are likely to bring, and what was won, by month or owner, in the organization's currency",
      params: z.strictObject({
        id,
        by: z.enum(["month", "owner"]).default("month"),
        /** The first and the last month: of when open deals are expected to close, and others were won. Default: every open deal, and won ones of the last twelve months. */
        from: month.optional(),
        to: month.optional(),
      }),
      returns: z.strictObject({ data: z.array(forecastRow), withoutRate }),
      reads: true,
      permission: "deals:read",
      rest: "GET /pipelines/:id/forecast",
    }),
  },
  events: {
    ...eventsOf(deal),
    "deal.moved": recordData(deal),
    "deal.won": recordData(deal),
    "deal.lost": recordData(deal),
    /** The places of a stage's deals were made anew, in the same order. */
    "pipeline.rebalanced": z.strictObject({ pipelineId: id, stageId: id }),
  },
  jobs: {
    rebalance: job({
      summary: "Makes the places of a stage's deals short again",
      payload: z.strictObject({ pipelineId: id, stageId: id }),
    }),
  },
  personalData: {
    deals: personalData({
      summary:
        "Deals of a person's contacts, under the name of their company, and what other deals say of the person; the deals stay",
      tables: ["deals", "deal_line_items", "deal_contacts"],
      fields: personalFields(deal),
    }),
  },
});
