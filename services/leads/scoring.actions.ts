import { isDeepStrictEqual } from "node:util";
import { v7 as uuidv7 } from "uuid";
import type { ScoringRule } from "../../entities/lead-settings.ts";
import { invalid, versionMismatch, type FieldError } from "../../mixins/contract/errors.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { requireBytes } from "../../mixins/records/kind/record-limits.ts";
import { record, type Ctx, type Result } from "../contracts.ts";
import { requireFitting } from "./conditions.ts";
import type { Desk } from "./desk.ts";
import { lead } from "../../entities/lead.ts";
import { normalForm } from "../../mixins/records/writing/changes.ts";
import { composeLead } from "./leads.rules.ts";
import { rescoreAll } from "./rescore.job.ts";
import { defaultRules } from "./scoring.defaults.ts";
import { conversionProbability, rocAuc, type ClosedLeads } from "./scoring.rules.ts";
import { announceSettings } from "./settings.ts";

/** Scores leads without storing them, with the chance that each converts. */
export async function score(ctx: Ctx<"leads.score">, desk: Desk): Promise<Result<"leads.score">> {
  const { tx } = ctx.locals;
  const { scoring } = await desk.settings.of(tx.organizationId);
  const country = await desk.countryOf(tx.organizationId);
  const problems: FieldError[] = [];
  const inputs = ctx.params.leads.flatMap((given, index) => {
    const found = normalForm(lead, given, country);
    problems.push(...found.problems.map((one) => ({ ...one, path: `leads.${index}.${one.path}` })));
    return [found.input];
  });
  if (problems.length > 0) throw invalid(problems);
  const history = await closedLeads(tx);
  const nobody = { id: "", organizationId: tx.organizationId, now: tx.now.toISOString() };
  return {
    scores: inputs.map((input) => {
      const row = composeLead(input, nobody, scoring);
      return {
        score: row.score,
        probability: conversionProbability(row.score, history),
        reasons: row.score_reasons,
      };
    }),
  };
}

/** Closed leads of the whole organization, by score. */
const closedLeads = (tx: UnitOfWork): Promise<ClosedLeads[]> =>
  tx.query<ClosedLeads>({
    name: "closed_leads_by_score",
    text: `SELECT score, count(*)::int AS closed, count(*) FILTER (WHERE status = 'converted')::int AS converted
      FROM leads WHERE status IN ('converted', 'unqualified') AND deleted_at IS NULL GROUP BY score`,
  });

/** The rules as a model: each is a feature, and the area under the curve is that of the scores closed leads have. */
export async function getScoringModel(
  ctx: Ctx<"leads.getScoringModel">,
): Promise<Result<"leads.getScoringModel">> {
  const { tx } = ctx.locals;
  const [{ rules }, history] = await Promise.all([scoringRules(tx), closedLeads(tx)]);
  return {
    trainedAt: null,
    rows: history.reduce((sum, { closed }) => sum + closed, 0),
    auc: rocAuc(history),
    features: rules.map(({ factor, points, detail }) => ({ factor, points, detail })),
  };
}

/** What scoring rules may take, and what of it they may put into every lead they score. In bytes as JSON. */
const rulesBytes = { rules: 64 * 1024, reasons: 16 * 1024 };

type RulesRow = { rules: ScoringRule[]; version: number };

/** The organization's rules, or the defaults as version 0. */
export const getScoringRules = (
  ctx: Ctx<"leads.getScoringRules">,
): Promise<Result<"leads.getScoringRules">> => scoringRules(ctx.locals.tx);

async function scoringRules(tx: UnitOfWork): Promise<Result<"leads.getScoringRules">> {
  const [own] = await tx.query<RulesRow>({ text: "SELECT rules, version FROM scoring_rules" });
  return own ? { ...own, isDefault: false } : { rules: [...defaultRules], version: 0, isDefault: true };
}

/** Replaces the rules; leads are rescored in the background, which survives the end of this process. */
export async function setScoringRules(
  ctx: Ctx<"leads.setScoringRules">,
  desk: Pick<Desk, "settings">,
): Promise<Result<"leads.setScoringRules">> {
  const { principal, tx } = ctx.locals;
  const { rules, expectedVersion } = ctx.params;
  const { defined } = await desk.settings.of(principal.organizationId);
  requireFitting(
    defined,
    rules.flatMap(({ conditions }, rule) =>
      conditions.map((condition, index) => ({
        condition,
        under: ["rules", `${rule}`, "conditions", `${index}`],
      })),
    ),
  );
  requireBytes("rules", rules, rulesBytes.rules);
  const reasons = rules.map(({ factor, points, detail }) => ({ factor, points, detail }));
  requireBytes("rules.*.factor and rules.*.detail", reasons, rulesBytes.reasons);
  // a lock of the organization's rules, for the first version has no row to lock yet
  const [, [own]] = await Promise.all([
    tx.execute({
      text: "SELECT pg_advisory_xact_lock(hashtextextended('scoring rules ' || $1, 0))",
      values: [tx.organizationId],
    }),
    tx.query<RulesRow>({ text: "SELECT rules, version FROM scoring_rules" }),
  ]);
  const current = own?.version ?? 0;
  if (expectedVersion !== undefined && expectedVersion !== current) throw versionMismatch(current);
  if (own && isDeepStrictEqual(own.rules, rules)) return { ...own, isDefault: false };
  const version = current + 1;
  tx.defer({
    text: `INSERT INTO scoring_rules (organization_id, id, rules, version, created_at, updated_at)
      VALUES ($1, $2, $3, $4, $5, $5) ON CONFLICT (organization_id)
      DO UPDATE SET rules = excluded.rules, version = excluded.version, updated_at = excluded.updated_at`,
    values: [tx.organizationId, uuidv7(), JSON.stringify(rules), version, tx.now.toISOString()],
  });
  record(tx, {
    type: "scoring.rules_changed",
    entity: { kind: "scoring", id: tx.organizationId, version },
    actorId: principal.userId,
    audience: null,
    data: { version },
  });
  announceSettings(ctx);
  rescoreAll(tx, version);
  return { rules, version, isDefault: false };
}
