import { LRUCache } from "lru-cache";
import type { ServiceBroker } from "moleculer";
import { v7 as uuidv7 } from "uuid";
import { systemMeta } from "../access/principal.ts";
import type { Database } from "../database/database.ts";
import { errorType } from "../contract/errors.ts";
import type { Shard } from "../database/shard.ts";
import type { Meta } from "../contract/meta.ts";
import { Semaphore } from "../concurrency/semaphore.ts";
import { within } from "../concurrency/within.ts";
import type { ActorAddress, SendOptions } from "./actor-contract.ts";
import { actorUnavailable } from "./actors.errors.ts";
import type { Answer, LocalHost } from "./message.ts";
import { NodeLease } from "./node-lease.ts";
import { addressKey, placeOf } from "./placement.ts";

export const defaultTimeoutMs = 15_000;
/** Further hosts asked at once after the first said that the actor lives elsewhere. */
const mostHops = 2;
const pauseMs = { first: 20, most: 500 };
const mostKnown = 100_000;
/** Enough that the next turn is ready when a connection comes free; far below what the pool lets wait. */
const turnsPerConnection = 2;

/** Errors of Moleculer that say the message may not have arrived, or its answer not. */
const lostCalls = new Set(["RequestRejectedError", "ServiceNotFoundError", "ServiceNotAvailableError"]);

/** What travels to a host. Who sends it is in the call's meta. */
export interface Envelope {
  address: ActorAddress;
  message: string;
  params: unknown;
  messageId: string;
  expiresAt: number;
  reminderId?: string;
}

/** Finds the node that runs an actor and brings it messages. One a process. */
export class ActorClient {
  readonly lease: NodeLease;
  readonly nodeId: string;
  readonly #broker: ServiceBroker;
  /** Turns that may run at once on each shard, for all hosts of the process together. */
  readonly #places: ReadonlyMap<Shard, Semaphore>;
  /** Hosts of this process by service: they are asked without a call. */
  readonly #local = new Map<string, LocalHost>();
  /** Where each actor last answered: a hint, and better than the hash after a node has joined. */
  readonly #known = new LRUCache<string, string>({ max: mostKnown });

  constructor(broker: ServiceBroker, database: Database) {
    this.#broker = broker;
    this.nodeId = broker.nodeID;
    this.#places = new Map(
      database.shards.map((shard) => [
        shard,
        new Semaphore({ atOnce: shard.pool.options.max * turnsPerConnection, mostWaiting: Infinity }),
      ]),
    );
    this.lease = new NodeLease(database, broker.nodeID, (error) => broker.logger.warn(error.message));
  }

  /** Lets a service of this process host actors; they run when the lease has been tried for. */
  async open(service: string, host: LocalHost): Promise<void> {
    if (this.#local.size === 0) await this.lease.start();
    this.#local.set(service, host);
    host.start();
  }

  /** Drains a service's actors; the last one gives up what this node owns. */
  async close(service: string): Promise<void> {
    await this.#local.get(service)?.drain();
    this.#local.delete(service);
    if (this.#local.size === 0) await this.lease.stop();
  }

  /** Nodes that host the actors of a service, as this node knows. */
  hostsOf(service: string): string[] {
    const list = this.#broker.registry.getActionEndpoints(`${service}.actors.turn`);
    return (list?.endpoints ?? []).filter(({ isAvailable }) => isAvailable).map(({ id }) => id);
  }

  placesOn(shard: Shard): Semaphore {
    return this.#places.get(shard) as Semaphore;
  }

  sendAsSystem(
    address: ActorAddress,
    message: string,
    params: unknown,
    options: SendOptions & { reminderId?: string } = {},
  ): Promise<unknown> {
    return this.send(address, message, params, systemMeta(address.organizationId), options);
  }

  /**
   * Has the actor answer a message. A host that is lost, leaves, or is no longer the owner is no error: the message is
   * sent again under its id until its time is up, and applied once.
   * @throws what the handler throws; 429 ACTOR_BUSY; 503 ACTOR_UNAVAILABLE or MESSAGE_EXPIRED when its time is up
   */
  async send(
    address: ActorAddress,
    message: string,
    params: unknown,
    meta: Meta,
    options: SendOptions & { reminderId?: string } = {},
  ): Promise<unknown> {
    const { messageId = uuidv7(), timeoutMs = defaultTimeoutMs, reminderId } = options;
    const expiresAt = this.lease.now() + timeoutMs;
    const envelope: Envelope = {
      address,
      message,
      params,
      messageId,
      expiresAt,
      ...(reminderId !== undefined && { reminderId }),
    };
    const key = addressKey(address);
    const service = serviceOf(address.kind);
    const unable = new Set<string>();
    let target = this.#known.get(key);
    let hops = 0;
    let pause = pauseMs.first;
    for (;;) {
      const all = this.hostsOf(service);
      const hosts = all.filter((node) => !unable.has(node));
      if (target === undefined || !hosts.includes(target)) target = placeOf(key, hosts);
      const answer = target === undefined ? { retry: {} } : await this.#ask(service, target, envelope, meta);
      if ("result" in answer) {
        this.#known.set(key, target);
        return answer.result;
      }
      this.#known.delete(key);
      const { owner, isUnable } = answer.retry;
      if (isUnable && target !== undefined) unable.add(target);
      const isElsewhere = owner !== undefined && owner !== target;
      target = isElsewhere ? owner : undefined;
      if ((isElsewhere || isUnable) && hops++ < mostHops) continue;
      if (this.lease.now() + pause >= expiresAt)
        throw actorUnavailable(
          all.length === 0 ? `no node hosts ${service}` : "it moved, or its node was lost",
        );
      await new Promise((done) => setTimeout(done, pause * (0.5 + Math.random() / 2)));
      pause = Math.min(pause * 2, pauseMs.most);
      unable.clear();
      hops = 0;
    }
  }

  async #ask(service: string, target: string, envelope: Envelope, meta: Meta): Promise<Answer> {
    const timeoutMs = Math.max(1, envelope.expiresAt - this.lease.now());
    const local = target === this.nodeId ? this.#local.get(service) : undefined;
    if (local)
      return within(timeoutMs, deliverTo(local, envelope, meta), () => {
        throw actorUnavailable("its turn took too long");
      });
    const { requestId, traceparent, organizationId, userId, role, scopes } = meta;
    try {
      return await this.#broker.call<Answer, Envelope>(`${service}.actors.turn`, envelope, {
        nodeID: target,
        timeout: timeoutMs,
        meta: { requestId, traceparent, organizationId, userId, role, scopes },
      });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      if (error.name === "RequestTimeoutError") throw actorUnavailable("its node did not answer");
      // refused by the host's node unread, as it came late: perhaps it was frozen, or the way there was
      if (lostCalls.has(error.name) || errorType(error) === "DEADLINE_EXCEEDED") return { retry: {} };
      throw error;
    }
  }
}

const serviceOf = (kind: string): string => kind.slice(0, kind.indexOf("."));

/** Hands an envelope to a host of this process. */
export function deliverTo(host: LocalHost, envelope: Envelope, meta: Meta): Promise<Answer> {
  const { address, ...message } = envelope;
  const { userId, role = "", scopes, requestId, traceparent } = meta;
  const sender = { organizationId: address.organizationId, userId: userId ?? null, role, scopes };
  const origin = {
    ...(userId === undefined ? {} : { userId }),
    ...(requestId === undefined ? {} : { requestId }),
    ...(traceparent === undefined ? {} : { traceparent }),
  };
  return host.deliver(address, { ...message, sender, origin });
}
