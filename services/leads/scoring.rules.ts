import type { Condition, ScoreReason, ScoringRule } from "../../entities/leads.ts";
import type { Facts } from "./scoring.facts.ts";

/** A score from 0 to 100; the points of its reasons add up to exactly it. */
export interface Score {
  score: number;
  reasons: ScoreReason[];
}

/** Judges a lead by rules: every rule whose conditions all hold gives its points. */
export function scoreOf(rules: readonly ScoringRule[], facts: Facts): Score {
  const reasons: ScoreReason[] = [];
  let sum = 0;
  for (const { factor, points, conditions, detail } of rules) {
    if (points === 0 || !conditions.every((condition) => holds(condition, facts))) continue;
    reasons.push({ factor, points, detail });
    sum += points;
  }
  const score = Math.min(100, Math.max(0, sum));
  if (score !== sum)
    reasons.push({ factor: "limit", points: score - sum, detail: "Scores stay between 0 and 100" });
  return { score, reasons };
}

/**
 * Whether a condition holds. Texts are compared without case. Where both sides are numbers, also as text
 * ("5"), they are compared as numbers. A missing value is only `isnull` or `ne`. A list, such as tags, meets `eq`, `in`
 * and `like` when one of its items does, and `ne` when none is equal.
 */
export function holds({ field, op, value }: Condition, facts: Facts): boolean {
  const fact = factAt(facts, field);
  const present = (Array.isArray(fact) ? fact : [fact]).filter((one) => !isMissing(one));
  const wanted: unknown[] = Array.isArray(value) ? value : [value];
  switch (op) {
    case "isnull":
      return (present.length === 0) === (value !== false && value !== "false");
    case "eq":
    case "in":
      return present.some((one) => wanted.some((other) => compare(one, other) === 0));
    case "ne":
      return !present.some((one) => wanted.some((other) => compare(one, other) === 0));
    case "like":
      return present.some((one) => wanted.some((pattern) => isLike(String(one), String(pattern))));
    case "gt":
      return present.some((one) => compare(one, value) > 0);
    case "gte":
      return present.some((one) => compare(one, value) >= 0);
    case "lt":
      return present.some((one) => compare(one, value) < 0);
    case "lte":
      return present.some((one) => compare(one, value) <= 0);
  }
}

function factAt(facts: Facts, field: string): unknown {
  const dot = field.indexOf(".");
  if (dot === -1) return facts[field];
  const group = field.slice(0, dot) === "consent" ? facts.consent : facts.customFields;
  const key = field.slice(dot + 1);
  return Object.hasOwn(group, key) ? group[key] : undefined;
}

const isMissing = (value: unknown): boolean => value === null || value === undefined || value === "";

/** Negative, 0 or positive; NaN, which no test passes, when the two cannot be compared. */
function compare(one: unknown, other: unknown): number {
  const numbers = [numberOf(one), numberOf(other)] as const;
  if (numbers[0] !== null && numbers[1] !== null) return numbers[0] - numbers[1];
  if (typeof one === "number" || typeof other === "number") return NaN;
  const texts = [String(one).toLowerCase(), String(other).toLowerCase()] as const;
  return texts[0] < texts[1] ? -1 : texts[0] > texts[1] ? 1 : 0;
}

function numberOf(value: unknown): number | null {
  if (typeof value === "number") return value;
  if (typeof value !== "string" || !/^\s*-?\d+(\.\d+)?\s*$/.test(value)) return null;
  return Number(value);
}

/** `*` stands for anything; without one the pattern may stand anywhere in the text, as in the filters of lists. */
function isLike(text: string, pattern: string): boolean {
  const lower = text.toLowerCase();
  const parts = pattern.toLowerCase().split("*");
  if (parts.length === 1) return lower.includes(parts[0] as string);
  const first = parts.shift() as string;
  const last = parts.pop() as string;
  if (lower.length < first.length + last.length || !lower.startsWith(first) || !lower.endsWith(last))
    return false;
  let from = first.length;
  const end = lower.length - last.length;
  for (const part of parts) {
    const found = lower.indexOf(part, from);
    if (found === -1 || found + part.length > end) return false;
    from = found + part.length;
  }
  return true;
}

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
