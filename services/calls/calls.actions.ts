import { can } from "../../mixins/access/principal.ts";
import { invalidField } from "../../mixins/contract/errors.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { newId } from "../../mixins/database/new-id.ts";
import { readPage } from "../../mixins/records/finding/page.ts";
import { readPhone } from "../../mixins/values/phone.ts";
import { actorOf, type Actors, type Ctx, type Result } from "../contracts.ts";
import type { ActorRef } from "../../mixins/actors/actor-contract.ts";
import { callListing, type CallView } from "./calls.contract.ts";
import {
  announce,
  callView,
  findQueue,
  getSeen,
  insertCall,
  unclaimed,
  type CallRow,
} from "./calls.repository.ts";
import { callableKinds, callsSeenBy, findCallee, maySee } from "./callees.ts";
import { isEverOpen, zoneOfCall } from "./hours.rules.ts";

export type Desk = Pick<Runtime, "database" | "organizations">;

/**
 * Puts a call into a queue: of a record that the caller sees, at its phone or another number, or of a number alone.
 * @throws 422 for what cannot be called: no such queue or record, no phone, hours at which nobody of that country may be called
 */
export async function schedule(ctx: Ctx<"calls.schedule">, desk: Desk): Promise<CallView> {
  const { tx, principal } = ctx.locals;
  const {
    queueId,
    recordId,
    kind: kindName = "lead",
    phone: given,
    timeZone,
    notBefore,
    priority,
  } = ctx.params;
  const standing = await desk.organizations.of(tx.organizationId);
  const callable = callableKinds().get(kindName);
  const reading = given === undefined ? undefined : readPhone(given, standing.country);
  if (reading && "doubt" in reading) throw invalidField("phone", "invalid_phone", reading.doubt);
  const [queue, callee] = await Promise.all([
    findQueue(tx, queueId),
    callable && recordId !== undefined ? findCallee(tx, callable, recordId) : undefined,
  ]);
  if (!queue) throw invalidField("queueId", "not_found", "is not a call_queue");
  if (recordId !== undefined && !(callable && callee && maySee(principal, callable, callee)))
    throw invalidField("recordId", "not_found", `is not a ${kindName}`);
  const phone = reading?.phone ?? callee?.phone ?? null;
  if (phone === null)
    throw invalidField("recordId", "no_phone", `is a ${kindName} without a phone; give one`);
  const { zone, from } = zoneOfCall(phone, timeZone, standing.timeZone);
  if (!isEverOpen(queue.window_, zone, tx.now))
    throw invalidField(
      timeZone === undefined ? (given === undefined ? "recordId" : "phone") : "timeZone",
      "never_open",
      `is of a country whose zones lie so far apart that the queue's window is never open in all of them; give timeZone`,
    );
  const now = tx.now.toISOString();
  const first = notBefore ?? now;
  const notAfter = ctx.params.notAfter ?? expiryOf(first, queue.expires_after_days);
  if (notAfter !== null && notAfter <= first)
    throw invalidField("notAfter", "before_not_before", "must be later than notBefore");
  const row: CallRow = {
    ...{ id: newId(), version: 1, created_at: now, updated_at: now, queue_id: queueId },
    ...{ kind: callee ? kindName : null, record_id: callee ? (recordId ?? null) : null },
    ...{ phone, is_phone_given: given !== undefined, zone, zone_from: from },
    ...{ priority, not_before: first, not_after: notAfter, status: "waiting", attempts: 0, ...unclaimed },
    ...{ outcome: null, notes: null, closed_reason: null, closed_at: null, created_by: principal.userId },
  };
  insertCall(tx, row);
  await announce(tx, "call.scheduled", row, {
    ...{ members: queue.members, actorId: principal.userId, owner: callee?.owner },
  });
  return callView(row);
}

const expiryOf = (first: string, days: number | null): string | null =>
  days === null ? null : new Date(Date.parse(first) + days * 86_400_000).toISOString();

/** A page of the calls that the caller sees. */
export const list = (ctx: Ctx<"calls.list">): Promise<Result<"calls.list">> =>
  readPage(ctx.locals.tx, callListing, ctx.params, callView, callsSeenBy(ctx.locals.principal));

/** One call. @throws 404 */
export const get = async (ctx: Ctx<"calls.get">): Promise<CallView> =>
  callView(await getSeen(ctx.locals.tx, ctx.locals.principal, ctx.params.id));

/** The next call of a queue is the caller's; null where there is none for now. The queue's actor decides. */
export async function claim(ctx: Ctx<"calls.claim">): Promise<CallView | null> {
  const { tx, principal } = ctx.locals;
  const callId = await actorOf(ctx, "calls.queue", ctx.params.id).claim(senderOf(ctx), messageOf(ctx));
  return callId === null ? null : callView(await getSeen(tx, principal, callId));
}

/** Ends a claimed call. @throws 403 NOT_YOUR_CALL, 404, 409 CALL_NOT_CLAIMED */
export const complete = (ctx: Ctx<"calls.complete">, desk: Desk): Promise<CallView> =>
  changed(ctx, desk, (queue, of) => {
    const { outcome, notes } = ctx.params;
    return queue.complete({ ...of, outcome, notes }, messageOf(ctx));
  });

/** Gives a claimed call back. @throws as `complete` */
export const release = (ctx: Ctx<"calls.release">, desk: Desk): Promise<CallView> =>
  changed(ctx, desk, (queue, of) => queue.release(of, messageOf(ctx)));

/** Gives a claimed call back for later. @throws as `complete` */
export const retry = (ctx: Ctx<"calls.retry">, desk: Desk): Promise<CallView> =>
  changed(ctx, desk, (queue, of) => {
    const { notBefore = null, notes } = ctx.params;
    return queue.retry({ ...of, notBefore, notes }, messageOf(ctx));
  });

type Changing = Ctx<"calls.complete"> | Ctx<"calls.release"> | Ctx<"calls.retry">;
type QueueRef = ActorRef<Actors["calls.queue"]>;

/** Sends a message about a call to its queue, and answers the call as it is then. */
async function changed(
  ctx: Changing,
  { database }: Desk,
  send: (queue: QueueRef, of: { callId: string; userId: string; isManager: boolean }) => Promise<null>,
): Promise<CallView> {
  const { tx, principal } = ctx.locals;
  const { id } = ctx.params;
  const { queue_id: queueId } = await getSeen(database.reader(tx.organizationId), principal, id);
  await send(actorOf(ctx, "calls.queue", queueId), { callId: id, ...senderOf(ctx) });
  return callView(await getSeen(tx, principal, id));
}

const senderOf = ({ locals: { principal } }: Changing | Ctx<"calls.claim">) => ({
  userId: principal.userId ?? "",
  isManager: can(principal, "call-queues:update"),
});

/** A repetition of a request is the same message. */
const messageOf = ({ locals: { idempotencyKey } }: Changing | Ctx<"calls.claim">) =>
  idempotencyKey === undefined ? {} : { messageId: idempotencyKey };
