import { z } from "zod";
import { action } from "../../mixins/contract/contract.ts";
import { job } from "../../mixins/jobs/job-spec.ts";
import { id, text } from "../../mixins/contract/schemas.ts";
import { conditionInput, storedCondition } from "../../mixins/records/conditions/schema.ts";
import { factFields } from "./condition.schemas.ts";
import { lead, scoreReason } from "../../entities/lead.ts";

const ruleInput = z.strictObject({
  /** Stable name of what is judged, shown in scoreReasons. */
  factor: text(100),
  points: z.number().int().min(-100).max(100),
  /** All must hold. */
  conditions: z.array(conditionInput(factFields())).min(1).max(10),
  detail: text(300),
});
const scoringRule = ruleInput.extend({ conditions: z.array(storedCondition) }).meta({ id: "ScoringRule" });
const scoringRules = z
  .strictObject({
    rules: z.array(scoringRule),
    /** True while the organization has none of its own; version is 0 then. */
    isDefault: z.boolean(),
    version: z.number().int(),
  })
  .meta({ id: "ScoringRules" });

/** Actions on scores and their rules; part of leadsContract. */
export const scoringActions = {
  score: action({
    summary: "Scores leads without storing them",
    params: z.strictObject({ leads: z.array(lead.input).min(1).max(1000) }),
    returns: z.strictObject({
      scores: z.array(
        z.strictObject({ score: z.number().int(), probability: z.number(), reasons: z.array(scoreReason) }),
      ),
    }),
    permission: "scoring:read",
    rest: "POST /leads/score",
  }),
  getScoringRules: action({
    summary: "The organization's scoring rules, or the defaults",
    params: z.strictObject({}),
    returns: scoringRules,
    reads: true,
    permission: "scoring:read",
    rest: "GET /scoring/rules",
  }),
  getScoringModel: action({
    summary: "What gives leads their score, and how well it told converted from unqualified leads",
    params: z.strictObject({}),
    returns: z.strictObject({
      /** When the model was learned; null: the rules give the score. */
      trainedAt: z.string().nullable(),
      /** Closed leads, converted or unqualified, that `auc` was measured on. */
      rows: z.number().int(),
      /**
       * The chance that a converted lead has a higher score than an unqualified one, ties counting half: 1 tells them
       * apart, 0.5 is a coin. Null until there are leads of both kinds.
       */
      auc: z.number().min(0).max(1).nullable(),
      features: z.array(scoreReason),
    }),
    reads: true,
    permission: "scoring:read",
    rest: "GET /scoring/model",
  }),
  setScoringRules: action({
    summary: "Replaces the scoring rules; every lead is rescored in the background",
    params: z.strictObject({
      rules: z.array(ruleInput).max(100),
      /** 0 while the defaults hold. */
      expectedVersion: z.number().int().min(0).optional(),
    }),
    returns: scoringRules,
    permission: "scoring:update",
    rest: "PUT /scoring/rules",
  }),
};

export const scoringJobs = {
  rescore: job({
    summary: "Gives leads the score of these rules",
    payload: z.strictObject({
      version: z.number().int(),
      /** Leads up to this id are done. */
      after: id.default("00000000-0000-0000-0000-000000000000"),
    }),
    queue: "analytics",
  }),
};
