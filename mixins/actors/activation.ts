import type { Database } from "../database/database.ts";
import type { Shard } from "../database/shard.ts";
import { apart, inUnit } from "../database/one-connection.ts";
import { UnitOfWork } from "../database/unit-of-work.ts";
import { errorType, sqlState } from "../contract/errors.ts";
import { secondsSince } from "../process/metrics.ts";
import type { Semaphore } from "../concurrency/semaphore.ts";
import type { ActorAddress, ActorHandlers, ActorSpec } from "./actor-contract.ts";
import { actorBusy, messageExpired, unknownMessage } from "./actors.errors.ts";
import { rejections, turnDuration } from "./actors.metrics.ts";
import {
  answeredBefore,
  claimActor,
  consumeReminder,
  fenced,
  storedResult,
  turnGuard,
  type Release,
} from "./actors.repository.ts";
import { Mailbox } from "./mailbox.ts";
import type { Answer, Message } from "./message.ts";
import type { NodeLease } from "./node-lease.ts";
import { TurnInHand } from "./turn.ts";

/** What every activation of a kind on this node shares. */
export interface ActivationParts {
  database: Database;
  lease: NodeLease;
  nodeId: string;
  spec: ActorSpec;
  handlers: ActorHandlers;
  /** Turns of a shard wait here for their place: thousands at once would crowd everybody else off the pool. */
  places: (shard: Shard) => Semaphore;
  /** Nodes that host the kind now. */
  hosts: () => readonly string[];
  /** Throws when what a turn answers or leaves breaks the contract. */
  check: (what: "result" | "state", message: string, value: unknown) => void;
  onEvents: (organizationId: string) => void;
  /** Sends a timer's message. */
  sendLater: (address: ActorAddress, message: string, params: unknown) => void;
}

const mailboxCapacity = 1_000;
/** A process that wakes from a freeze renews at once; one cut off from the database sends its messages elsewhere. */
const leasePatienceMs = 500;

interface Waiting {
  message: Message;
  resolve: (answer: Answer) => void;
  reject: (error: unknown) => void;
}

/**
 * One actor in the memory of this node. Claimed by its first message; ended when it is passivated, moved or fenced, or when
 * nobody can know whether its last COMMIT arrived. Messages it then still has are sent elsewhere by their senders.
 */
export class Activation {
  readonly address: ActorAddress;
  lastUsedAt = performance.now();
  readonly #parts: ActivationParts;
  readonly #mailbox = new Mailbox<Waiting>(mailboxCapacity);
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #onEnd: () => void;
  /** The claim, and the state as JSON; `isStored` when the row has it too. */
  #loaded: { epoch: number; json: string; isStored: boolean } | undefined;
  #working: Promise<void> | undefined;
  #isOver = false;

  /** @param onEnd called once, when it takes no more messages */
  constructor(address: ActorAddress, parts: ActivationParts, onEnd: () => void) {
    this.address = address;
    this.#parts = parts;
    this.#onEnd = onEnd;
  }

  /** Asked anew for each turn: organizations move. */
  get #shard(): Shard {
    return this.#parts.database.shardOf(this.address.organizationId);
  }

  get waiting(): number {
    return this.#mailbox.size;
  }
  /** Undefined before the claim. */
  get epoch(): number | undefined {
    return this.#loaded?.epoch;
  }
  /** Nothing runs, waits or is timed. */
  get isIdle(): boolean {
    return !this.#working && this.#timers.size === 0;
  }

  /** Puts a message into the mailbox. @throws 429 ACTOR_BUSY when that is full, 503 when the message waited too long */
  deliver(message: Message): Promise<Answer> {
    if (this.#isOver) return Promise.resolve({ retry: {} });
    this.lastUsedAt = performance.now();
    return new Promise((resolve, reject) => {
      if (!this.#mailbox.push({ message, resolve, reject })) {
        rejections.inc({ kind: this.address.kind, reason: "full" });
        reject(actorBusy());
        return;
      }
      this.#working ??= this.#work();
    });
  }

  /** Resolves when every message it has is answered. */
  async settled(): Promise<void> {
    await this.#working;
  }

  /** Takes no more messages, and resolves with the claim, if there is one, when the turn in hand is over. */
  async giveUp(): Promise<Release | undefined> {
    this.#end();
    await this.#working;
    return this.#loaded && { address: this.address, epoch: this.#loaded.epoch };
  }

  async #work(): Promise<void> {
    for (let next; !this.#isOver && (next = this.#mailbox.shift());) {
      try {
        next.resolve(await this.#answer(next.message));
      } catch (error) {
        next.reject(error);
      }
    }
    this.#working = undefined;
    if (this.#isOver) for (const { resolve } of this.#mailbox.drain()) resolve({ retry: {} });
  }

  async #answer(message: Message): Promise<Answer> {
    const { lease } = this.#parts;
    const isHeld = await lease.held(this.#shard, Math.min(message.expiresAt, lease.now() + leasePatienceMs));
    if (!isHeld) return { retry: { isUnable: true } };
    return this.#parts.places(this.#shard).run(async () => {
      if (lease.now() >= message.expiresAt) {
        rejections.inc({ kind: this.address.kind, reason: "expired" });
        throw messageExpired();
      }
      if (!this.#loaded) {
        const owner = await this.#claim();
        if (!this.#loaded) {
          this.#end();
          return { retry: { owner } };
        }
      }
      return this.#turn(message, this.#loaded);
    });
  }

  /** Claims the actor; answers its owner. */
  async #claim(): Promise<string | undefined> {
    const { database, nodeId, hosts, spec, handlers } = this.#parts;
    try {
      const { owner, loaded } = await database.transaction(this.address, async (tx) => {
        const claim = await claimActor(tx, this.address, nodeId, hosts());
        if (claim.owner !== nodeId || claim.epoch === null) return { owner: claim.owner };
        const isStored = claim.state !== null;
        const state = spec.state.parse(claim.state ?? (await handlers.initial(this.address, tx)));
        return { owner: nodeId, loaded: { epoch: claim.epoch, json: JSON.stringify(state), isStored } };
      });
      this.#loaded = loaded;
      return owner ?? undefined;
    } catch (error) {
      this.#end(); // whether the claim was committed is unknown
      if (isPassing(error)) return undefined;
      throw error;
    }
  }

  async #turn(message: Message, loaded: { epoch: number; json: string; isStored: boolean }): Promise<Answer> {
    const { kind, organizationId } = this.address;
    const start = performance.now();
    const observe = (outcome: "applied" | "repeated" | "failed" | "fenced") =>
      turnDuration.labels(kind, outcome).observe(secondsSince(start));
    let json = loaded.json;
    const guard = turnGuard(this.address, loaded.epoch, message.messageId, () =>
      loaded.isStored && json === loaded.json ? null : json,
    );
    const tx = new UnitOfWork(this.#shard, { organizationId }, undefined, guard);
    tx.origin = message.origin;
    const turn = new TurnInHand(this.address, tx, JSON.parse(loaded.json), message.sender);
    let isCommitting = false;
    try {
      const result = await apart(() => inUnit(tx, () => this.#handle(turn, message)));
      json = JSON.stringify(turn.state);
      isCommitting = true;
      await tx.commit(result);
      this.#loaded = { ...loaded, json, isStored: true };
      this.#setTimers(turn);
      if (tx.hasEvents) this.#parts.onEvents(organizationId);
      observe("applied");
      return { result };
    } catch (error) {
      await tx.rollback();
      if (sqlState(error) === fenced) {
        this.#end();
        observe("fenced");
        return { retry: {} };
      }
      if (sqlState(error) === answeredBefore) {
        observe("repeated");
        return { result: await this.#storedResult(message) };
      }
      observe("failed");
      if (isCommitting && isUnclear(error)) this.#end();
      if (isPassing(error)) return { retry: {} };
      throw error;
    }
  }

  async #handle(turn: TurnInHand, { message, params, reminderId }: Message): Promise<unknown> {
    const handler = this.#parts.handlers.messages[message];
    if (!handler) throw unknownMessage(this.address.kind, message);
    if (reminderId !== undefined && !(await consumeReminder(turn.tx, reminderId))) return null;
    const result: unknown = (await handler(turn, params)) ?? null;
    this.#parts.check("result", message, result);
    this.#parts.check("state", message, turn.state);
    return result;
  }

  #storedResult({ messageId }: Message): Promise<unknown> {
    return this.#parts.database.transaction(this.address, (tx) => storedResult(tx, this.address, messageId));
  }

  #setTimers({ timers }: TurnInHand): void {
    for (const [name, timer] of timers) {
      clearTimeout(this.#timers.get(name));
      this.#timers.delete(name);
      if (timer && !this.#isOver)
        this.#timers.set(
          name,
          setTimeout(() => {
            this.#timers.delete(name);
            this.#parts.sendLater(this.address, timer.message, timer.params);
          }, timer.afterMs),
        );
    }
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#onEnd();
  }
}

/** Whether a failed COMMIT may have been done all the same: only an answer of the server tells that it was not. */
function isUnclear(error: unknown): boolean {
  const type = errorType(error);
  if (type === undefined) return sqlState(error) === undefined;
  return type === "OUTCOME_UNKNOWN" || type === "DATABASE_TIMEOUT";
}

const passing = new Set(["OUTCOME_UNKNOWN", "DATABASE_UNAVAILABLE", "WRITE_CONFLICT", "ORGANIZATION_MOVING"]);
/** Whether the same message may well succeed a moment later; its id keeps it from being applied twice. */
const isPassing = (error: unknown): boolean => passing.has(errorType(error) ?? "");
