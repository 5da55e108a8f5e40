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
    if (points === 0 || !holdAll(conditions, facts)) continue;
    reasons.push({ factor, points, detail });
    sum += points;
  }
  const score = Math.min(100, Math.max(0, sum));
  if (score !== sum)
    reasons.push({ factor: "limit", points: score - sum, detail: "Scores stay between 0 and 100" });
  return { score, reasons };
}

function holdAll(conditions: readonly Condition[], facts: Facts): boolean {
  for (const condition of conditions) if (!holds(condition, facts)) return false;
  return true;
}

/**
 * Whether a condition holds. Texts are compared without case. Where both sides are numbers, also as text
 * ("5"), they are compared as numbers. A missing value is only `isnull` or `ne`. A list, such as tags, meets `eq`, `in`
 * and `like` when one of its items does, and `ne` when none is equal.
 */
export function holds({ field, op, value }: Condition, facts: Facts): boolean {
  const fact = factAt(facts, field);
  if (op === "isnull") return isAbsent(fact) === (value !== false && value !== "false");
  if (op === "ne") return !meets(fact, "eq", value);
  return meets(fact, op, value);
}

type Test = Exclude<Condition["op"], "isnull" | "ne">;

// loops, not `some` and `filter`: each lead is judged by dozens of conditions, and their arrays were a tenth of its garbage
function meets(fact: unknown, op: Test, value: unknown): boolean {
  if (!Array.isArray(fact)) return !isMissing(fact) && passes(fact, op, value);
  for (const one of fact) if (!isMissing(one) && passes(one, op, value)) return true;
  return false;
}

function passes(one: unknown, op: Test, value: unknown): boolean {
  switch (op) {
    case "eq":
    case "in":
      if (!Array.isArray(value)) return compare(one, value) === 0;
      for (const other of value) if (compare(one, other) === 0) return true;
      return false;
    case "like": {
      const text = lowerCase(one);
      if (!Array.isArray(value)) return isLike(text, lowerCase(value));
      for (const pattern of value) if (isLike(text, lowerCase(pattern))) return true;
      return false;
    }
    case "gt":
      return compare(one, value) > 0;
    case "gte":
      return compare(one, value) >= 0;
    case "lt":
      return compare(one, value) < 0;
    case "lte":
      return compare(one, value) <= 0;
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
const isAbsent = (fact: unknown): boolean => (Array.isArray(fact) ? fact.every(isMissing) : isMissing(fact));
const lowerCase = (value: unknown): string => String(value).toLowerCase();

/** Negative, 0 or positive; NaN, which no test passes, when the two cannot be compared. */
function compare(one: unknown, other: unknown): number {
  const first = numberOf(one);
  const second = numberOf(other);
  if (first !== null && second !== null) return first - second;
  if (typeof one === "number" || typeof other === "number") return NaN;
  const text = lowerCase(one);
  const against = lowerCase(other);
  return text < against ? -1 : text > against ? 1 : 0;
}

function numberOf(value: unknown): number | null {
  if (typeof value === "number") return value;
  if (typeof value !== "string" || !/^\s*-?\d+(\.\d+)?\s*$/.test(value)) return null;
  return Number(value);
}

/**
 * `*` stands for anything; without one the pattern may stand anywhere in the text, as in the filters of lists. Both in
 * lower case.
 */
function isLike(text: string, pattern: string): boolean {
  if (!pattern.includes("*")) return text.includes(pattern);
  const parts = pattern.split("*");
  const first = parts.shift() as string;
  const last = parts.pop() as string;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last))
    return false;
  let from = first.length;
  const end = text.length - last.length;
  for (const part of parts) {
    const found = text.indexOf(part, from);
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
