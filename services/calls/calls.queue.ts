import type { ActorHandlers, Turn } from "../../mixins/actors/actor-contract.ts";
import type { callsContract } from "./calls.contract.ts";
import {
  callNotFound,
  callOpen,
  notAMember,
  notClaimed,
  notYourCall,
  queueNotFound,
} from "./calls.errors.ts";
import {
  announce,
  changeCall,
  findQueue,
  headsOf,
  lockCall,
  openCallOf,
  unclaimed,
  type CallRow,
  type Queue,
} from "./calls.repository.ts";
import { callableKinds, findCallee } from "./callees.ts";
import { isOpen, pauseAfter, zoneOfCall } from "./hours.rules.ts";

type QueueActor = (typeof callsContract)["actors"]["queue"];
type QueueTurn = Turn<QueueActor>;
interface Sender {
  userId: string;
  isManager: boolean;
}

/** Calls that a claim sets aside before it gives up for now: those whose records are deleted, or have lost their phone. */
const mostSetAside = 100;

/** Decides who gets which call of a queue, one message after the other; what waits is read from its rows by an index. */
export const queue: ActorHandlers<QueueActor> = {
  initial: () => ({}),
  messages: {
    async claim(turn, { userId, isManager }) {
      const { tx } = turn;
      const [found, openCall, heads] = await Promise.all([
        findQueue(tx, turn.id),
        openCallOf(tx, userId),
        headsOf(tx, turn.id),
      ]);
      if (!found) throw queueNotFound();
      if (!isManager && !found.members.includes(userId)) throw notAMember();
      if (openCall !== undefined) throw callOpen(openCall);
      tx.onViolation("calls_open_claim", () => callOpen());
      let left = heads;
      for (let tries = 0; tries < mostSetAside; tries++) {
        const [next] = left.filter(({ zone }) => isOpen(found.window_, zone, turn.now)).sort(inOrder);
        if (!next) return null;
        const row = await lockCall(tx, next.id);
        if (row?.status === "waiting" && (await isTaken(turn, found, row, userId))) return row.id;
        left = await headsOf(tx, turn.id);
      }
      return null;
    },

    async complete(turn, { outcome, notes, ...given }) {
      const { row, found } = await inHand(turn, given);
      await end(turn, found, row, "call.completed", {
        ...{
          status: "completed",
          outcome,
          notes,
          attempts: row.attempts + 1,
          closed_at: turn.now.toISOString(),
        },
        // whose call it was stays
        ...{ claim_ends_at: null },
      });
      return null;
    },

    async release(turn, given) {
      const { row, found } = await inHand(turn, given);
      await end(turn, found, row, "call.released", { status: "waiting", ...unclaimed });
      return null;
    },

    async retry(turn, { notBefore, notes, ...given }) {
      const { row, found } = await inHand(turn, given);
      const attempts = row.attempts + 1;
      const tried = { ...unclaimed, attempts, ...(notes === undefined ? {} : { notes }) };
      if (attempts >= found.retry.most) {
        const closed = {
          status: "closed",
          closed_reason: "no_tries_left",
          closed_at: turn.now.toISOString(),
        } as const;
        await end(turn, found, row, "call.closed", { ...tried, ...closed });
        return null;
      }
      const pauseMs = pauseAfter(found.retry.pausesSeconds, attempts) * 1_000;
      const later = notBefore ?? new Date(turn.now.getTime() + pauseMs).toISOString();
      await end(turn, found, row, "call.retried", { ...tried, status: "waiting", not_before: later });
      return null;
    },

    /** Whatever has become of the call since: one that was completed, or claimed anew, is left alone. */
    async endClaim(turn, { callId }) {
      const [row, found] = await Promise.all([lockCall(turn.tx, callId), findQueue(turn.tx, turn.id)]);
      if (row?.status !== "claimed" || Date.parse(row.claim_ends_at ?? "") > turn.now.getTime()) return null;
      const free = changeCall(turn.tx, row, { status: "waiting", ...unclaimed });
      turn.tx.defer(free.statement);
      await announce(turn.tx, "call.released", free.row, { members: found?.members ?? [], actorId: null });
      return null;
    },
  },
};

/** Higher priorities first, then those that wait longest, in the order in which they were made. */
const inOrder = (
  a: Pick<CallRow, "priority" | "not_before" | "id">,
  b: Pick<CallRow, "priority" | "not_before" | "id">,
): number =>
  b.priority - a.priority || Date.parse(a.not_before) - Date.parse(b.not_before) || (a.id < b.id ? -1 : 1);

/** Makes a waiting call the sender's; where it cannot be made now, sets it aside instead. */
async function isTaken(turn: QueueTurn, found: Queue, row: CallRow, userId: string): Promise<boolean> {
  const { tx, now } = turn;
  const callable = row.kind === null ? undefined : callableKinds().get(row.kind);
  const callee =
    callable === undefined || row.record_id === null
      ? undefined
      : await findCallee(tx, callable, row.record_id);
  const told = { members: found.members, actorId: userId, owner: callee?.owner };
  const setAside = async (change: Partial<CallRow>) => {
    const changed = changeCall(tx, row, change);
    // now: the next look at the queue sees it
    await tx.execute(changed.statement);
    if (changed.row.status === "closed") await announce(tx, "call.closed", changed.row, told);
    return false;
  };
  const close = (reason: "expired" | "no_phone") =>
    setAside({ status: "closed", closed_reason: reason, closed_at: now.toISOString() });
  if (row.not_after !== null && Date.parse(row.not_after) <= now.getTime()) return close("expired");
  if (row.record_id !== null && (callee === undefined || callee.isDeleted))
    return setAside({ status: "held" });
  const phone = row.is_phone_given || callee === undefined ? row.phone : callee.phone;
  if (phone === null) return close("no_phone");
  const moved =
    phone !== row.phone && row.zone_from === "phone" ? zoneOfCall(phone, undefined, row.zone) : undefined;
  const current = { phone, ...(moved && { zone: moved.zone, zone_from: moved.from }) };
  // the record has another number by now, and where that is it is no time to call
  if (moved && !isOpen(found.window_, moved.zone, now)) return setAside(current);
  const endsAt = new Date(now.getTime() + found.claim_seconds * 1_000);
  const claimed = changeCall(tx, row, {
    ...{ ...current, status: "claimed", claimed_by: userId },
    ...{ claimed_at: now.toISOString(), claim_ends_at: endsAt.toISOString() },
  });
  tx.defer(claimed.statement);
  turn.remind(reminderOf(row.id), endsAt, "endClaim", { callId: row.id });
  await announce(tx, "call.claimed", claimed.row, told);
  return true;
}

const reminderOf = (callId: string): string => `claim ${callId}`;

/** A call that the sender has claimed, or that they may end for whoever has. @throws 403, 404, 409 */
async function inHand(turn: QueueTurn, { callId, userId, isManager }: Sender & { callId: string }) {
  const [row, found] = await Promise.all([lockCall(turn.tx, callId), findQueue(turn.tx, turn.id)]);
  if (!row || !found) throw callNotFound();
  if (row.status !== "claimed") throw notClaimed(row.status);
  if (row.claimed_by !== userId && !isManager) throw notYourCall();
  return { row, found };
}

/** Takes a claimed call out of somebody's hands. */
async function end(
  turn: QueueTurn,
  { members }: Queue,
  before: CallRow,
  type: Parameters<typeof announce>[1],
  change: Partial<CallRow>,
): Promise<void> {
  const { row, statement } = changeCall(turn.tx, before, change);
  turn.tx.defer(statement);
  turn.cancelReminder(reminderOf(row.id));
  await announce(turn.tx, type, row, { members, actorId: turn.sender.userId });
}
