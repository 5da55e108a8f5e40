import type { Context } from "moleculer";
import { z } from "zod";
import { requirePermission } from "../access/principal.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import type { SequencedEvent } from "../events/feed.ts";
import { errorType, invalid } from "../contract/errors.ts";
import type { Meta } from "../contract/meta.ts";
import { listenerFailures } from "../process/metrics.ts";
import type { Database } from "../database/database.ts";
import {
  advance,
  advanceHold,
  cursorMoved,
  endHold,
  hold,
  nextHeld,
  readAhead,
  stopCursor,
} from "./delivery.repository.ts";
import type { ListenerSpec } from "./listener-spec.ts";

type ListenerContext = Context<unknown, Meta> & { locals: Record<string, unknown> };
interface Delivery {
  listener: ListenerSpec & { name: string };
  hear: (ctx: never, event: never) => Promise<void>;
  database: Database;
  /** Called after a commit that appended to the feed of this organization. */
  onEvents: (organizationId: string) => void;
}

const batchSize = 100;
/** After this long a run adds itself again behind the jobs of others. */
const turnMs = 1000;
const firstPauseMs = 1000;

/** Payload of a listener's job: empty goes on with the feed, an entity retries what it failed on. */
export const deliveryPayload = z.strictObject({ entityId: z.uuid().optional() });

/**
 * One run of a listener in one organization, as a job. Its place in the feed moves in the transaction of what it
 * writes. Die anywhere: the job runs again from there. Two at once (a frozen node comes back): the place has one
 * mover, the other's transaction is undone.
 */
export async function deliver(ctx: ListenerContext, delivery: Delivery): Promise<null> {
  const { organizationId = "", userId = null, role = "" } = ctx.meta;
  const principal = { organizationId, userId, role };
  requirePermission(principal, "system");
  const payload = deliveryPayload.safeParse(ctx.params);
  if (!payload.success) throw invalid([]);
  ctx.locals.principal = principal;
  const run = new DeliveryRun(ctx, organizationId, delivery);
  await (payload.data.entityId === undefined ? run.follow() : run.retry(payload.data.entityId));
  return null;
}

class DeliveryRun {
  readonly #ctx: ListenerContext;
  readonly #organizationId: string;
  readonly #delivery: Delivery;

  constructor(ctx: ListenerContext, organizationId: string, delivery: Delivery) {
    this.#ctx = ctx;
    this.#organizationId = organizationId;
    this.#delivery = delivery;
  }

  /** Handles what has come since, batch by batch; event by event where one fails. */
  async follow(): Promise<void> {
    const until = performance.now() + turnMs;
    let most = batchSize;
    for (;;) {
      const step = await this.#step(most, performance.now() > until);
      if (step === "over") return;
      most = step === "failed" ? 1 : batchSize;
    }
  }

  /**
   * @param isLast whether to leave what is left to another job
   * @returns "failed" when nothing was handled and it is to be tried event by event
   */
  async #step(most: number, isLast: boolean): Promise<"more" | "over" | "failed"> {
    const { listener } = this.#delivery;
    let failed: { event: SequencedEvent; error: Error } | undefined;
    try {
      return await this.#transaction(async (tx) => {
        const ahead = await readAhead(tx, listener, most);
        if (!ahead) return "over";
        const { cursor, events, hasMore: isMoreAhead, held } = ahead;
        for (const event of events) {
          if (held.has(event.entity.id)) continue;
          try {
            await this.#hear(tx, event);
          } catch (error) {
            failed = { event, error: error as Error };
            throw error;
          }
        }
        const last = isMoreAhead ? (events.at(-1) as SequencedEvent).seq : cursor.target;
        const { hasMore } = await advance(tx, listener.name, cursor, last);
        if (hasMore && isLast) tx.enqueue({ task: listener.name, payload: {} });
        return hasMore && !isLast ? "more" : "over";
      });
    } catch (error) {
      if (errorType(error) === cursorMoved) return "more";
      if (!failed) throw error;
      if (most > 1) return "failed";
      await this.#setAside(failed.event, failed.error);
      return "more";
    }
  }

  /** Leaves an event that fails to a retry, with all that follows of its entity. */
  async #setAside({ seq, entity }: SequencedEvent, error: Error): Promise<void> {
    const { listener } = this.#delivery;
    this.#ctx.broker.logger.warn(
      `${listener.name} failed on event ${seq} of ${this.#organizationId}: ${error.message}`,
    );
    listenerFailures.labels(listener.name).inc();
    await this.#transaction(async (tx) => {
      const ahead = await readAhead(tx, listener, 1);
      if (ahead?.events[0]?.seq !== seq) return; // somebody else was faster
      hold(tx, listener.name, entity.id, seq);
      tx.enqueue({
        task: listener.name,
        payload: { entityId: entity.id },
        key: entity.id,
        delayMs: firstPauseMs,
      });
      // this run goes on, so it is still the one that is scheduled
      await advance(tx, listener.name, ahead.cursor, seq, { isScheduled: true });
    });
  }

  /** Handles the events of a held entity in order, until it has caught up with the listener. @throws what it fails on */
  async retry(entityId: string): Promise<void> {
    const { listener } = this.#delivery;
    for (;;) {
      const isOver = await this.#transaction(async (tx) => {
        const waiting = await nextHeld(tx, listener, entityId);
        if (!waiting) return true;
        if (waiting.event) {
          await this.#hear(tx, waiting.event);
          if (!(await advanceHold(tx, listener.name, entityId, waiting.from, waiting.event.seq)))
            throw new Error("Somebody else has handled this event");
          return false;
        }
        await stopCursor(tx, listener.name);
        // now that the cursor stands, look again: the last run may have passed an event of this entity
        if ((await nextHeld(tx, listener, entityId))?.event) return false;
        await endHold(tx, listener.name, entityId);
        return true;
      });
      if (isOver) return;
    }
  }

  async #hear(tx: UnitOfWork, event: SequencedEvent): Promise<void> {
    this.#ctx.locals.tx = tx;
    await this.#delivery.hear(this.#ctx as never, event as never);
  }

  async #transaction<T>(work: (tx: UnitOfWork) => Promise<T>): Promise<T> {
    const { database, onEvents } = this.#delivery;
    let hasEvents = false;
    const result = await database.transaction({ organizationId: this.#organizationId }, async (tx) => {
      const answer = await work(tx);
      hasEvents = tx.hasEvents;
      return answer;
    });
    if (hasEvents) onEvents(this.#organizationId);
    return result;
  }
}
