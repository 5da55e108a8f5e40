import { z } from "zod";
import type { Database } from "../database/database.ts";
import { appError, invalid } from "../contract/errors.ts";
import { fieldErrors } from "../contract/field-errors.ts";
import { Poller } from "../concurrency/poller.ts";
import { within } from "../concurrency/within.ts";
import { Activation, type ActivationParts } from "./activation.ts";
import type { ActorAddress, ActorHandlers, ActorSpec } from "./actor-contract.ts";
import { unknownMessage } from "./actors.errors.ts";
import { activations } from "./actors.metrics.ts";
import { releaseActors } from "./actors.repository.ts";
import type { ActorClient } from "./client.ts";
import type { Answer, LocalHost, Message } from "./message.ts";
import { addressKey } from "./placement.ts";

const drainMs = 20_000;
const sweepEveryMs = 10_000;

/** What a host needs of its node. */
export interface HostParts {
  database: Database;
  client: ActorClient;
  onEvents(organizationId: string): void;
  checkResults: "always" | "sampled" | "never";
  onError: (error: Error) => void;
}

export interface HostOptions {
  /** After how long without a message an actor leaves the memory; default 5 minutes. */
  idleMs?: number;
  /** Actors in memory beyond which the one unused for longest leaves; default 10,000. */
  mostActivations?: number;
}

/** One actor in the memory of a node, as an operator sees it. */
export interface ActivationView extends ActorAddress {
  epoch: number | null;
  waiting: number;
  idleMs: number;
}

/** The actors of one service that live on this node. */
export class ActorHost implements LocalHost {
  readonly kinds: string[];
  readonly #parts: HostParts;
  readonly #options: Required<HostOptions>;
  readonly #partsOf = new Map<string, ActivationParts>();
  /** Those used longest ago first. */
  readonly #activations = new Map<string, Activation>();
  readonly #sweeper: Poller;
  #isDraining = false;
  #samples = 0;

  /** @param actors contract and handlers by kind, as `leads.router` */
  constructor(
    service: string,
    actors: Record<string, { spec: ActorSpec; handlers: ActorHandlers }>,
    parts: HostParts,
    options: HostOptions = {},
  ) {
    this.#parts = parts;
    this.#options = { idleMs: 5 * 60_000, mostActivations: 10_000, ...options };
    this.kinds = Object.keys(actors);
    const { database, client } = parts;
    for (const [kind, { spec, handlers }] of Object.entries(actors))
      this.#partsOf.set(kind, {
        database,
        lease: client.lease,
        nodeId: client.nodeId,
        spec,
        handlers,
        places: (shard) => client.placesOn(shard),
        hosts: () => client.hostsOf(service),
        check: (what, message, value) => this.#check(kind, spec, what, message, value),
        onEvents: (organizationId) => parts.onEvents(organizationId),
        sendLater: (address, message, params) => {
          client.sendAsSystem(address, message, params).catch(parts.onError);
        },
      });
    this.#sweeper = new Poller({
      name: `passivating actors of ${service}`,
      everyMs: Math.min(sweepEveryMs, this.#options.idleMs),
      run: () => this.#sweep(),
      onError: (error) => parts.onError(error),
    });
  }

  start(): void {
    this.#isDraining = false;
    this.#sweeper.start();
  }

  /** Refuses messages from now on, and resolves when those it has are answered, or after 20 s. */
  async drain(): Promise<void> {
    this.#isDraining = true;
    await this.#sweeper.stop();
    const living = [...this.#activations.values()];
    await within(drainMs, Promise.all(living.map((activation) => activation.settled())), () => undefined);
    // what is not answered by now is sent elsewhere; the turn in hand is fenced there or finishes first
    for (const activation of living) void activation.giveUp();
  }

  /** Has an actor of this node answer a message, or says where else to try. @throws what its handler throws */
  async deliver(address: ActorAddress, message: Message): Promise<Answer> {
    if (this.#isDraining) return { retry: { isUnable: true } };
    const parts = this.#partsOf.get(address.kind);
    const spec = parts?.spec.messages[message.message];
    if (!parts || !spec) throw unknownMessage(address.kind, message.message);
    const parsed = spec.params.safeParse(message.params);
    if (!parsed.success) throw invalid(fieldErrors(parsed.error));
    return this.#activation(address, parts).deliver({ ...message, params: parsed.data });
  }

  /** Actors in memory, those used longest ago first. */
  list(): ActivationView[] {
    return [...this.#activations.values()].map((activation) => ({
      ...activation.address,
      epoch: activation.epoch ?? null,
      waiting: activation.waiting,
      idleMs: Math.round(performance.now() - activation.lastUsedAt),
    }));
  }

  /** Takes an actor out of memory after its turn in hand; whoever is asked next claims it, or `to`. */
  async passivate(address: ActorAddress, to?: string): Promise<boolean> {
    const release = await this.#activations.get(addressKey(address))?.giveUp();
    if (!release) return false;
    await releaseActors(this.#parts.database, [{ ...release, ...(to !== undefined && { to }) }]);
    return true;
  }

  #activation(address: ActorAddress, parts: ActivationParts): Activation {
    const key = addressKey(address);
    let activation = this.#activations.get(key);
    if (activation) this.#activations.delete(key);
    else {
      activations.inc({ kind: address.kind });
      const fresh: Activation = new Activation(address, parts, () => {
        activations.dec({ kind: address.kind });
        this.#activations.delete(key);
      });
      activation = fresh;
    }
    this.#activations.set(key, activation);
    if (this.#activations.size > this.#options.mostActivations) this.#sweeper.kick();
    return activation;
  }

  async #sweep(): Promise<boolean> {
    const { idleMs, mostActivations } = this.#options;
    const now = performance.now();
    let surplus = this.#activations.size - mostActivations;
    const leaving: Activation[] = [];
    for (const activation of this.#activations.values()) {
      const isLong = now - activation.lastUsedAt >= idleMs;
      if (surplus <= 0 && !isLong) break; // the rest was used later
      if (!activation.isIdle) continue;
      leaving.push(activation);
      surplus--;
    }
    const releases = await Promise.all(leaving.map((activation) => activation.giveUp()));
    await releaseActors(
      this.#parts.database,
      releases.filter((release) => release !== undefined),
    );
    return false;
  }

  #check(kind: string, spec: ActorSpec, what: "result" | "state", message: string, value: unknown): void {
    const mode = this.#parts.checkResults;
    if (mode === "never" || (mode === "sampled" && this.#samples++ % 100 !== 0)) return;
    const schema = what === "state" ? spec.state : spec.messages[message]?.returns;
    const parsed = schema?.safeParse(value);
    if (parsed?.success === false)
      throw appError(
        500,
        "RESULT_INVALID",
        `The ${what} of ${kind} after ${message} breaks its contract: ${z.prettifyError(parsed.error)}`,
      );
  }
}
