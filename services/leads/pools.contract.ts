import { z } from "zod";
import { actor } from "../../mixins/actors/actor-contract.ts";
import { action } from "../../mixins/contract/contract.ts";
import { byIdOf, listParams, type Listing } from "../../mixins/records/finding/listing.ts";
import {
  byIdVersioned,
  expectedVersion,
  id,
  nameText,
  pageOf,
  timestamp,
} from "../../mixins/contract/schemas.ts";
import { conditionInput, storedCondition } from "../../mixins/records/conditions/schema.ts";
import { factFields, score } from "./condition.schemas.ts";

const criterion = conditionInput(factFields(undefined, score));
const strategies = ["round_robin", "weighted", "least_loaded"] as const;
const pool = z
  .strictObject({
    id,
    name: z.string(),
    strategy: z.enum(strategies),
    members: z.array(z.strictObject({ userId: id, weight: z.number().int() })),
    criteria: z.array(storedCondition),
    priority: z.number().int(),
    isActive: z.boolean(),
    createdAt: timestamp,
    updatedAt: timestamp,
    version: z.number().int(),
  })
  .meta({ id: "AssignmentPool" });
export type PoolView = z.output<typeof pool>;
const poolFields = {
  name: nameText(100),
  strategy: z.enum(strategies),
  members: z
    .array(z.strictObject({ userId: id, weight: z.number().int().min(1).max(100).default(1) }))
    .max(200)
    .refine(
      (members) => new Set(members.map((m) => m.userId)).size === members.length,
      "a member stands twice",
    ),
  criteria: z.array(criterion).max(20),
  priority: z.number().int().min(0).max(10_000),
  isActive: z.boolean(),
};
export const poolListing: Listing = {
  table: "assignment_pools",
  fields: {
    id: "uuid",
    name: "text",
    strategy: "text",
    members: "json",
    criteria: "json",
    priority: "integer",
    isActive: "boolean",
    createdAt: "timestamp",
    updatedAt: "timestamp",
    version: "integer",
  },
  filterable: ["name", "strategy", "isActive"],
  values: { strategy: strategies },
  sortable: ["priority", "name", "createdAt"],
  defaultSort: "priority",
};

/** Actions on assignment pools; part of leadsContract. */
export const poolActions = {
  listPools: action({
    summary: "Lists assignment pools in the order they are tried",
    params: listParams(poolListing),
    returns: pageOf(pool.partial().extend({ id }).meta({ id: "AssignmentPoolPart" })),
    reads: true,
    permission: "pools:read",
    rest: "GET /assignment-pools",
  }),
  createPool: action({
    summary: "Makes an assignment pool",
    params: z.strictObject({
      ...poolFields,
      criteria: poolFields.criteria.default([]),
      priority: poolFields.priority.default(100),
      isActive: poolFields.isActive.default(true),
    }),
    returns: pool,
    permission: "pools:create",
    rest: "POST /assignment-pools",
    status: 201,
  }),
  getPool: action({
    summary: "One assignment pool",
    params: byIdOf(poolListing),
    returns: pool,
    reads: true,
    permission: "pools:read",
    rest: "GET /assignment-pools/:id",
  }),
  updatePool: action({
    summary: "Changes an assignment pool",
    params: z.strictObject(poolFields).partial().extend({ id, expectedVersion }),
    returns: pool,
    permission: "pools:update",
    rest: "PATCH /assignment-pools/:id",
  }),
  removePool: action({
    summary: "Deletes an assignment pool; its leads stay with their assignees",
    params: byIdVersioned,
    returns: z.null(),
    permission: "pools:delete",
    rest: "DELETE /assignment-pools/:id",
    status: 204,
  }),
};

const poolEvent = z.strictObject({ pool });
export const poolEvents = { "pool.created": poolEvent, "pool.updated": poolEvent, "pool.deleted": poolEvent };

/** Actors of assignment pools; part of leadsContract. */
export const poolActors = {
  /** Whose turn it is in a pool; the actor's id is the pool's. */
  router: actor({
    state: z.strictObject({
      /** Turns taken so far. */
      position: z.number().int(),
      /** Leads given to users by `least_loaded` that were not yet stored when last looked; `at` in ms since 1970. */
      promised: z.array(z.strictObject({ leadId: id, userId: id, at: z.number().int() })).default([]),
    }),
    messages: {
      /** Users for these leads, in their order; empty when the pool has no active member, null without such an active pool. */
      take: {
        params: z.strictObject({
          leadIds: z.array(id).min(1).max(1000),
          /** Members who are passed over: no active users. */
          inactive: z.array(id).max(1000).default([]),
        }),
        returns: z.array(id).nullable(),
      },
    },
  }),
};
