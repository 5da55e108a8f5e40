import { z } from "zod";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { cronPayload, job } from "../../mixins/jobs/job-spec.ts";
import { typesText } from "../../mixins/events/feed-filter.ts";
import { personalData } from "../../mixins/privacy/personal-data.ts";
import { id, timestamp, wholeNumber } from "../../mixins/contract/schemas.ts";

export const feedEvent = z
  .strictObject({
    /** Place in the organization's feed: 1, 2, 3 … without holes. */
    seq: z.number().int(),
    id,
    type: z.string(),
    entity: z.strictObject({ kind: z.string(), id, version: z.number().int() }),
    actorId: id.nullable(),
    occurredAt: timestamp,
    data: z.unknown(),
  })
  .meta({ id: "Event" });
export type FeedEvent = z.output<typeof feedEvent>;

export const eventsContract = defineContract("events", {
  tables: {
    owns: ["events", "idempotency_keys"],
    reads: ["listener_cursors", "listener_holds"],
    writes: ["control.cron_runs"],
  },
  actions: {
    list: action({
      summary: "The feed after `since`; what the caller may not see is left out, so seq may jump",
      params: z.strictObject({
        since: wholeNumber(0, Number.MAX_SAFE_INTEGER).default(0),
        limit: wholeNumber(1, 1000).default(200),
        /** Comma separated; `lead.*` takes every event of leads. */
        types: typesText.optional(),
      }),
      returns: z.strictObject({
        data: z.array(feedEvent),
        /** The newest seq of the feed. */
        head: z.number().int(),
        /** seq up to which this answer has looked; ask again from here. */
        next: z.number().int(),
        /** Set when events after `since` are no longer kept, or the feed never came so far: read anew what you keep. */
        gap: z.boolean().optional(),
      }),
      reads: true,
      permission: "events:read",
      rest: "GET /events",
    }),
  },
  events: {},
  jobs: {
    cleanUp: job({
      summary: "Forgets what has served its time: idempotency keys, dead jobs, ticks of the clock",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "*/5 * * * *", missed: "skip" },
    }),
    tendPartitions: job({
      summary: "Makes the partitions of the months to come and drops those behind retention",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "17 * * * *", missed: "skip" },
    }),
    rewrapKeys: job({
      summary: "Wraps the organizations' data keys anew that are not under the newest MASTER_KEY",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "41 * * * *", missed: "skip" },
    }),
    sweep: job({
      summary: "Finds jobs of workers that nobody knows, and listeners whose job is gone",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "* * * * *", missed: "skip" },
    }),
  },
  personalData: {
    events: personalData({
      summary:
        "Events of the person's records; they keep place, type and time, and lose the personal fields of their data",
      tables: ["events"],
      retention: { default: 400, least: 30, most: 36_500 },
    }),
    answers: personalData({
      summary: "Answers kept for 24 hours under an Idempotency-Key; those that show the person are deleted",
      tables: ["idempotency_keys"],
    }),
  },
});
