import { defineEntity, p, type InferEntity } from "@mikro-orm/postgresql";
import { tenantColumns } from "./columns.ts";

/** What a record is asked: a tree of tests in the language of mixins/records/conditions, as it was given. */
export type Condition =
  | { all: Condition[] }
  | { any: Condition[] }
  | { not: Condition }
  | { field: string; op: ConditionOperator; value: ConditionValue | ConditionValue[] };
type ConditionOperator =
  "eq" | "ne" | "gt" | "gte" | "lt" | "lte" | "in" | "nin" | "like" | "contains" | "isnull";
type ConditionValue = string | number | boolean | { amount: string | number; currency: string };

export interface PoolMember {
  userId: string;
  /** Share of the leads under `weighted`; 1 otherwise. */
  weight: number;
}
/** Users who share incoming leads. Whose turn is next knows the pool's actor, `leads.router`. */
export const AssignmentPool = defineEntity({
  name: "AssignmentPool",
  tableName: "assignment_pools",
  properties: {
    ...tenantColumns,
    name: p.string(),
    strategy: p.string().$type<"round_robin" | "weighted" | "least_loaded">(),
    members: p.json<PoolMember[]>(),
    /** All must hold for a captured lead to be given to this pool; none: every lead. */
    criteria: p.json<Condition[]>(),
    /** Pools are tried in this order, lowest first. */
    priority: p.integer().default(100),
    isActive: p.boolean().default(true),
    /** Leads given out before the pool had an actor, which goes on from there; not written any more. */
    position: p.integer().default(0),
  },
});
export type AssignmentPool = InferEntity<typeof AssignmentPool>;

export interface ScoringRule {
  factor: string;
  /** -100 to 100. */
  points: number;
  conditions: Condition[];
  detail: string;
}
/** An organization's own scoring rules; without a row the defaults hold. */
export const ScoringRules = defineEntity({
  name: "ScoringRules",
  tableName: "scoring_rules",
  properties: {
    ...tenantColumns,
    rules: p.json<ScoringRule[]>(),
  },
});
export type ScoringRules = InferEntity<typeof ScoringRules>;

export const CustomField = defineEntity({
  name: "CustomField",
  tableName: "custom_fields",
  properties: {
    ...tenantColumns,
    entity: p.string(),
    key: p.string(),
    type: p.string(),
    label: p.string(),
    /** Kept sealed, in custom_field_values. */
    isSensitive: p.boolean().default(false),
    isUnique: p.boolean().default(false),
    options: p.json<{ value: string; label: string }[]>(),
    refersTo: p.string().nullable(),
    isRequired: p.boolean().default(false),
    isIndexed: p.boolean().default(false),
    /** When all its values were in custom_field_index; null: they are not, or are being taken up. */
    indexedAt: p.datetime(3).nullable(),
    defaultValue: p.json<unknown>().nullable(),
    deletedAt: p.datetime(3).nullable(),
  },
});
export type CustomField = InferEntity<typeof CustomField>;
