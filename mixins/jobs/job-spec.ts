import { z } from "zod";
import { timestamp } from "../contract/schemas.ts";

/**
 * Lanes of jobs: each has its own workers on every node that runs jobs, so slow work of one kind never waits in
 * front of another kind. `atOnce`: jobs of one node and shard that run together. `prefetch`: jobs a node takes
 * from the table at once; more makes short jobs cheap, but what is taken waits for this node alone: 2 s, and 0.1 s where it
 * is 0, then others may have it. `restMs`: from a claim that found less than `atOnce` to the next, on average. Every job added wakes
 * every queue, and a claim that finds nothing has read past all that wait in the others: long lines of one queue slow it down less
 * when the others ask seldom. After a longer rest the first job is claimed at once.
 */
export const queues = {
  default: { atOnce: 16, prefetch: 200, restMs: 20 },
  listeners: { atOnce: 8, prefetch: 16, restMs: 20 },
  imports: { atOnce: 2, prefetch: 0, restMs: 200 },
  "email-sync": { atOnce: 4, prefetch: 0, restMs: 200 },
  "email-send": { atOnce: 8, prefetch: 16, restMs: 100 },
  "ai-processing": { atOnce: 4, prefetch: 0, restMs: 200 },
  analytics: { atOnce: 2, prefetch: 0, restMs: 200 },
  webhooks: { atOnce: 16, prefetch: 32, restMs: 100 },
} as const satisfies Record<string, { atOnce: number; prefetch: number; restMs: number }>;
export type QueueName = keyof typeof queues;

/** Payload of every job that comes up by the clock. */
export const cronPayload = z.strictObject({ scheduledFor: timestamp });

/** When a job comes up by the clock. */
export interface CronSpec {
  /** Five fields, minute first, in UTC. */
  schedule: string;
  /** Of ticks that passed while nobody led: `skip` runs the last of them, `catch_up` each. */
  missed: "skip" | "catch_up";
}

/**
 * Work to be done later, on any node, at least once: its body must be safe to repeat. A job is an action that
 * only the system may call; it gets the same context.
 */
export interface JobSpec<P extends z.ZodType = z.ZodType> {
  summary: string;
  payload: P;
  /** Default `default`. */
  queue?: QueueName;
  /** `organization` (default) runs under row-level security of the one that added it; `platform` on the control database. */
  scope?: "organization" | "platform";
  /** Tries before it counts as dead; the pause before try n+1 is e^n s, at most 6 h. Default 10: about 10 hours. */
  maxAttempts?: number;
  /** Whether it runs also for an organization that is suspended; the jobs of such a one wait otherwise. */
  whileSuspended?: boolean;
  /** A run that takes longer has failed. Default 5 minutes. */
  timeoutMs?: number;
  /** Only for platform jobs that take `cronPayload`. */
  cron?: CronSpec;
}

/** Gives `spec` its precise type. */
export const job = <P extends z.ZodType>(spec: JobSpec<P>): JobSpec<P> => spec;

export const defaultMaxAttempts = 10;
export const defaultTimeoutMs = 300_000;

/** A job as a unit of work adds it. */
export interface NewJob {
  /** `leads.rescore`. */
  task: string;
  payload: unknown;
  /** Replaces a job of the task with this key that has not begun. One that runs is followed by the new one. */
  key?: string;
  /** Default: at once. */
  runAt?: Date;
  /** As `runAt`, from the transaction's begin by the database's clock. */
  delayMs?: number;
  /** Default: as the contract says. */
  maxAttempts?: number;
  /** Whose job it is; only for units of work of the platform. */
  organizationId?: string;
}

/** On whose behalf a job was added; it runs with these in its meta. */
export interface JobOrigin {
  userId?: string;
  requestId?: string;
  traceparent?: string;
}

/** What Graphile Worker keeps as the payload of a job. */
export interface StoredJob {
  organizationId: string | null;
  payload: unknown;
  origin: JobOrigin | null;
}
