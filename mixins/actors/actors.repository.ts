import { v7 as uuidv7 } from "uuid";
import type { Database } from "../database/database.ts";
import type { Shard } from "../database/shard.ts";
import type { Guard, UnitOfWork } from "../database/unit-of-work.ts";
import type { ActorAddress } from "./actor-contract.ts";

/** SQLSTATEs of begin_turn and end_turn. */
export const fenced = "SGA01";
export const answeredBefore = "SGA02";

/**
 * Renews a node's lease; answers the database's time in milliseconds since 1970. Leases that were written while the clock was
 * ahead begin now: else a dead node would keep its actors until the clock is there again.
 */
export async function renewLease(
  database: Database,
  shard: Shard,
  nodeId: string,
  leaseMs: number,
): Promise<number> {
  const [row] = await database.transaction({ platform: shard }, (tx) =>
    tx.query<{ now: number }>({
      name: "renew_node_lease",
      text: `WITH shortened AS (UPDATE node_leases SET lease_until = clock_timestamp() + $2 * interval '1 ms'
          WHERE node_id <> $1 AND lease_until > clock_timestamp() + 2 * $2 * interval '1 ms')
        INSERT INTO node_leases (node_id, lease_until) VALUES ($1, clock_timestamp() + $2 * interval '1 ms')
        ON CONFLICT (node_id) DO UPDATE SET lease_until = excluded.lease_until
        RETURNING (extract(epoch FROM clock_timestamp()) * 1000)::float8 AS now`,
      values: [nodeId, leaseMs],
    }),
  );
  return (row as { now: number }).now;
}

/** Ends a node's lease, and gives up what it still owns. */
export async function endLease(database: Database, shard: Shard, nodeId: string): Promise<void> {
  await database.transaction({ platform: shard }, (tx) => {
    tx.defer({ text: "UPDATE actors SET owner = NULL WHERE owner = $1", values: [nodeId] });
    tx.defer({ text: "DELETE FROM node_leases WHERE node_id = $1", values: [nodeId] });
    return Promise.resolve();
  });
}

/** Who owns the actor after this node asked for it; `epoch` and `state` are there when it is this node. */
export interface Claim {
  owner: string;
  epoch: number | null;
  state: unknown;
}

/** Makes `nodeId` the owner unless another of `hosts` is one whose lease runs. */
export async function claimActor(
  tx: UnitOfWork,
  { kind, id }: ActorAddress,
  nodeId: string,
  hosts: readonly string[],
): Promise<Claim> {
  const [row] = await tx.query<{ owner: string; epoch: number | null; state: unknown }>({
    name: "claim_actor",
    text: "SELECT * FROM claim_actor($1, $2, $3, $4, $5)",
    values: [tx.organizationId, kind, id, nodeId, hosts],
  });
  return row as Claim;
}

/** A turn of an actor's epoch, happening once for its message. `state` is asked at the end; null: unchanged. */
export function turnGuard(
  { organizationId, kind, id }: ActorAddress,
  epoch: number,
  messageId: string,
  state: () => string | null,
): Guard {
  return {
    enter: {
      name: "begin_turn",
      text: "SELECT begin_turn($1, $2, $3, $4, $5)",
      values: [organizationId, kind, id, epoch, messageId],
    },
    seal: (result) => ({
      name: "end_turn",
      text: "SELECT end_turn($1, $2, $3, $4, $5, $6, $7)",
      values: [organizationId, kind, id, epoch, messageId, state(), JSON.stringify(result ?? null)],
    }),
  };
}

/** What an earlier message of this id was answered. */
export async function storedResult(
  tx: UnitOfWork,
  { kind, id }: ActorAddress,
  messageId: string,
): Promise<unknown> {
  const [row] = await tx.query<{ result: unknown }>({
    name: "find_actor_answer",
    text: "SELECT result FROM actor_inbox WHERE kind = $1 AND actor_id = $2 AND message_id = $3",
    values: [kind, id, messageId],
  });
  return row?.result ?? null;
}

/** An activation to be given up: whoever is asked next claims it, or `to` if that is named. */
export interface Release {
  address: ActorAddress;
  epoch: number;
  to?: string;
}

/** Gives activations up, in one statement for each shard. What another node has claimed since stays with it. */
export async function releaseActors(database: Database, releases: readonly Release[]): Promise<void> {
  const byShard = Map.groupBy(releases, ({ address }) => database.shardOf(address.organizationId));
  await Promise.all(
    [...byShard].map(([shard, some]) =>
      database.transaction({ platform: shard }, (tx) =>
        tx.execute({
          name: "release_actors",
          text: `UPDATE actors a SET owner = r.owner, epoch = a.epoch + 1
            FROM unnest($1::uuid[], $2::text[], $3::text[], $4::integer[], $5::text[]) AS r (organization_id, kind, id, epoch, owner)
            WHERE a.organization_id = r.organization_id AND a.kind = r.kind AND a.id = r.id AND a.epoch = r.epoch`,
          values: [
            some.map(({ address }) => address.organizationId),
            some.map(({ address }) => address.kind),
            some.map(({ address }) => address.id),
            some.map(({ epoch }) => epoch),
            some.map(({ to }) => to ?? null),
          ],
        }),
      ),
    ),
  );
}

export function setReminder(
  tx: UnitOfWork,
  { organizationId, kind, id }: ActorAddress,
  reminder: { name: string; at: Date; message: string; params: unknown },
): void {
  tx.defer({
    name: "set_actor_reminder",
    text: `INSERT INTO actor_reminders (organization_id, id, kind, actor_id, name, message, params, due_at, next_try_at)
      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8)
      ON CONFLICT (organization_id, kind, actor_id, name) DO UPDATE
        SET (id, message, params, due_at, next_try_at, tries)
          = (excluded.id, excluded.message, excluded.params, excluded.due_at, excluded.next_try_at, 0)`,
    values: [
      organizationId,
      uuidv7(),
      kind,
      id,
      reminder.name,
      reminder.message,
      JSON.stringify(reminder.params),
      reminder.at.toISOString(),
    ],
  });
}

export function cancelReminder(tx: UnitOfWork, { kind, id }: ActorAddress, name: string): void {
  tx.defer({
    name: "cancel_actor_reminder",
    text: "DELETE FROM actor_reminders WHERE kind = $1 AND actor_id = $2 AND name = $3",
    values: [kind, id, name],
  });
}

/** Takes a reminder away in the turn that acts on it; false when it was cancelled, replaced or acted on meanwhile. */
export const consumeReminder = async (tx: UnitOfWork, reminderId: string): Promise<boolean> =>
  (await tx.execute({
    name: "consume_actor_reminder",
    text: "DELETE FROM actor_reminders WHERE id = $1",
    values: [reminderId],
  })) === 1;

export interface DueReminder extends ActorAddress {
  reminderId: string;
  message: string;
  params: unknown;
  tries: number;
}

/**
 * Takes reminders of these kinds that are due; nobody else gets them before `leaseMs` have passed, doubled
 * with each try up to an hour.
 */
export async function takeDueReminders(
  tx: UnitOfWork,
  kinds: readonly string[],
  most: number,
  leaseMs: number,
): Promise<DueReminder[]> {
  const rows = await tx.query<{
    organization_id: string;
    id: string;
    kind: string;
    actor_id: string;
    message: string;
    params: unknown;
    tries: number;
  }>({
    name: "take_due_reminders",
    text: `UPDATE actor_reminders r SET tries = tries + 1,
        next_try_at = now() + least(3600000, $3 * 2 ^ least(tries, 20)) * interval '1 ms'
      FROM (SELECT organization_id, id FROM actor_reminders
        WHERE next_try_at <= now() AND kind = ANY ($1) ORDER BY next_try_at LIMIT $2 FOR UPDATE SKIP LOCKED) due
      WHERE r.organization_id = due.organization_id AND r.id = due.id
      RETURNING r.organization_id, r.id, r.kind, r.actor_id, r.message, r.params, r.tries`,
    values: [kinds, most, leaseMs],
  });
  return rows.map((row) => ({
    organizationId: row.organization_id,
    kind: row.kind,
    id: row.actor_id,
    reminderId: row.id,
    message: row.message,
    params: row.params,
    tries: row.tries,
  }));
}

/** Makes a reminder that was taken as if this try had not been, due again after `ms`. */
export const postponeReminder = (tx: UnitOfWork, reminderId: string, ms: number): Promise<number> =>
  tx.execute({
    name: "postpone_actor_reminder",
    text: `UPDATE actor_reminders SET tries = tries - 1, next_try_at = now() + $2 * interval '1 ms' WHERE id = $1`,
    values: [reminderId, ms],
  });

/**
 * Forgets answers older than 24 hours, and leases of nodes gone for a day. Call again while it answers true.
 * @param most answers deleted at once
 */
export async function forgetOldAnswers(tx: UnitOfWork, most: number): Promise<boolean> {
  const [deleted] = await Promise.all([
    tx.execute({
      name: "forget_actor_answers",
      text: `DELETE FROM actor_inbox i USING (
          SELECT organization_id, kind, actor_id, message_id FROM actor_inbox
          WHERE answered_at < now() - interval '24 hours' ORDER BY answered_at LIMIT $1 FOR UPDATE SKIP LOCKED) old
        WHERE (i.organization_id, i.kind, i.actor_id, i.message_id)
          = (old.organization_id, old.kind, old.actor_id, old.message_id)`,
      values: [most],
    }),
    tx.execute({ text: "DELETE FROM node_leases WHERE lease_until < now() - interval '1 day'" }),
  ]);
  return deleted === most;
}

/** Where the actor's turns run and how often they have changed it; undefined for one that never had a turn. */
export async function findActor(
  tx: UnitOfWork,
  { kind, id }: ActorAddress,
): Promise<{ owner: string | null; epoch: number; version: number } | undefined> {
  const [row] = await tx.query<{ owner: string | null; epoch: number; version: number }>({
    text: "SELECT owner, epoch, version FROM actors WHERE kind = $1 AND id = $2",
    values: [kind, id],
  });
  return row;
}

/** Gives an actor to a node, which claims it with the next message; whoever runs it now is fenced. */
export function assignActor(
  tx: UnitOfWork,
  { kind, id }: ActorAddress,
  nodeId: string | null,
): Promise<number> {
  return tx.execute({
    text: `INSERT INTO actors AS a (organization_id, kind, id, owner) VALUES ($1, $2, $3, $4)
      ON CONFLICT (organization_id, kind, id) DO UPDATE SET owner = excluded.owner, epoch = a.epoch + 1`,
    values: [tx.organizationId, kind, id, nodeId],
  });
}
