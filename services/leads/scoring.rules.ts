import type { ScoreReason } from "../../entities/lead.ts";
import type { ScoringRule } from "../../entities/lead-settings.ts";
import type { CustomFields } from "../../mixins/records/finding/listing.ts";
import { predicatesOf } from "./conditions.ts";
import type { Facts } from "./scoring.facts.ts";

/** A score from 0 to 100; the points of its reasons add up to exactly it. */
export interface Score {
  score: number;
  reasons: ScoreReason[];
}

/**
 * Judges a lead by rules: every rule whose conditions all hold gives its points.
 * @param definitions of custom fields, by which they are compared
 */
export function scoreOf(rules: readonly ScoringRule[], facts: Facts, definitions?: CustomFields): Score {
  const reasons: ScoreReason[] = [];
  let sum = 0;
  const predicates = predicatesOf(rules, conditionsOf, definitions);
  for (const [index, { factor, points, detail }] of rules.entries()) {
    if (points === 0 || predicates[index]?.(facts) !== true) continue;
    reasons.push({ factor, points, detail });
    sum += points;
  }
  const score = Math.min(100, Math.max(0, sum));
  if (score !== sum)
    reasons.push({ factor: "limit", points: score - sum, detail: "Scores stay between 0 and 100" });
  return { score, reasons };
}

const conditionsOf = (rules: readonly ScoringRule[]) => rules.map(({ conditions }) => conditions);

/** How many closed leads with one score there are, and how many of them were won. */
export interface ClosedLeads {
  score: number;
  closed: number;
  converted: number;
}

/** Scores this far apart count as alike. */
const neighbourhood = 10;
/** The score itself counts as this many closed leads. */
const priorWeight = 20;

/**
 * The chance that a lead with this score converts, from the closed leads (converted or unqualified) with a score
 * within ±10: (converted + 20 × score / 100) / (closed + 20). With no history that is score / 100; each closed lead
 * pulls it towards what was observed (the mean of a beta distribution whose prior weighs 20).
 */
export function conversionProbability(score: number, history: readonly ClosedLeads[]): number {
  let closed = 0;
  let converted = 0;
  for (const bucket of history)
    if (Math.abs(bucket.score - score) <= neighbourhood) {
      closed += bucket.closed;
      converted += bucket.converted;
    }
  return (converted + priorWeight * (score / 100)) / (closed + priorWeight);
}

/**
 * Area under the ROC curve: the chance that a converted lead has a higher score than an unqualified one, ties counting
 * half. Null while there are no leads of both kinds.
 * @param history one bucket a score
 */
export function rocAuc(history: readonly ClosedLeads[]): number | null {
  let [lost, won, wonAbove] = [0, 0, 0];
  for (const { closed, converted } of history.toSorted((one, other) => one.score - other.score)) {
    const lostHere = closed - converted;
    wonAbove += converted * (lost + lostHere / 2);
    lost += lostHere;
    won += converted;
  }
  return lost === 0 || won === 0 ? null : wonAbove / (lost * won);
}
