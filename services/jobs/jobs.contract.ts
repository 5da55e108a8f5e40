import { z } from "zod";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { pageParams } from "../../mixins/records/finding/listing.ts";
import { id, pageOf, timestamp } from "../../mixins/contract/schemas.ts";

/** Ids of jobs rise with time; they are numbers as text. */
const jobId = z
  .string()
  .regex(/^\d{1,18}$/, "must be the id of a job")
  .meta({ examples: ["4711"] });

export const jobStates = ["waiting", "retrying", "running", "dead"] as const;
const job = z
  .strictObject({
    id: jobId,
    /** `leads.rescore`. */
    task: z.string(),
    payload: z.unknown(),
    /** `retrying` has failed and waits for its next attempt; `dead` has used them all. */
    state: z.enum(jobStates),
    attempts: z.number().int(),
    maxAttempts: z.number().int(),
    lastError: z.string().nullable(),
    /** When it may begin. */
    runAt: timestamp,
    createdAt: timestamp,
    updatedAt: timestamp,
  })
  .meta({ id: "Job" });
export type JobView = z.output<typeof job>;

/** A job as operators see it, of any organization or of the platform. */
const anyJob = job.extend({ shard: z.string(), organizationId: id.nullable() });
export type AnyJobView = z.output<typeof anyJob>;
const byShardAndId = z.strictObject({ shard: z.string(), id: jobId });

const byJobId = z.strictObject({ id: jobId });

/** Background work of an organization, for its admins. */
export const jobsContract = defineContract("jobs", {
  actions: {
    list: action({
      summary: "Jobs in one state, newest first",
      params: z.strictObject({ state: job.shape.state.default("dead"), ...pageParams }),
      returns: pageOf(job),
      reads: true,
      permission: "jobs:read",
      rest: "GET /jobs",
    }),
    get: action({
      summary: "A job that is not done yet: one that has succeeded is no more",
      params: byJobId,
      returns: job,
      reads: true,
      permission: "jobs:read",
      rest: "GET /jobs/:id",
    }),
    retry: action({
      summary: "Gives a dead job all its attempts again, from now",
      params: byJobId,
      returns: z.strictObject({ id: jobId, status: z.literal("waiting") }),
      permission: "jobs:update",
      rest: "POST /jobs/:id/retry",
      status: 202,
      location: ({ id }) => `/jobs/${id}`,
    }),
    drop: action({
      summary: "Forgets a dead job; a listener goes on with the entity's next event",
      params: byJobId,
      returns: z.null(),
      permission: "jobs:delete",
      rest: "DELETE /jobs/:id",
      status: 204,
    }),
    listAll: action({
      summary: "Jobs of all organizations in one state, for operators",
      params: z.strictObject({
        state: job.shape.state.default("dead"),
        limit: z.number().int().min(1).max(1000).default(100),
      }),
      returns: z.strictObject({
        jobs: z.array(anyJob),
        /** Shards that did not answer, and why: their jobs are missing. */
        silent: z.array(z.strictObject({ shard: z.string(), error: z.string() })),
      }),
      reads: true,
      permission: "system",
    }),
    retryAny: action({
      summary: "Retries a dead job of any organization; false when there is none",
      params: byShardAndId,
      returns: z.boolean(),
      permission: "system",
    }),
    dropAny: action({
      summary: "Drops a dead job of any organization; false when there is none",
      params: byShardAndId,
      returns: z.boolean(),
      permission: "system",
    }),
  },
  events: {},
});
