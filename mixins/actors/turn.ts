import type { Principal } from "../access/principal.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import type { ActorAddress, Turn } from "./actor-contract.ts";
import { cancelReminder, setReminder } from "./actors.repository.ts";

/** A turn while its handler runs. Timers take effect only when it is committed. */
export class TurnInHand implements Turn {
  readonly tx: UnitOfWork;
  readonly sender: Principal;
  state: unknown;
  /** Timers set (or, undefined, cancelled) by name. */
  readonly timers = new Map<string, { afterMs: number; message: string; params: unknown } | undefined>();
  readonly #address: ActorAddress;

  constructor(address: ActorAddress, tx: UnitOfWork, state: unknown, sender: Principal) {
    this.#address = address;
    this.tx = tx;
    this.state = state;
    this.sender = sender;
  }

  get organizationId(): string {
    return this.#address.organizationId;
  }
  get id(): string {
    return this.#address.id;
  }
  get now(): Date {
    return this.tx.now;
  }

  remind(name: string, at: Date, message: string, params: unknown): void {
    setReminder(this.tx, this.#address, { name, at, message, params });
  }
  cancelReminder(name: string): void {
    cancelReminder(this.tx, this.#address, name);
  }
  timer(name: string, afterMs: number, message: string, params: unknown): void {
    this.timers.set(name, { afterMs, message, params });
  }
  cancelTimer(name: string): void {
    this.timers.set(name, undefined);
  }
}
