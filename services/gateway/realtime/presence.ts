import type { PresenceStore, Roster, Status } from "./presence-store.ts";

/** A user whose presence has changed; `offline` when the last of its sockets is gone. */
export interface PresenceChange {
  userId: string;
  status: Status | "offline";
}

/** How often a gateway repeats what it knows: entries end after 12 s, so two repeats may fail. */
export const refreshMs = 4_000;
/** Least time between two exchanges of an organization: a crowd that connects at once makes few. */
const usualRestMs = 100;

/**
 * Who of one organization is there, as this gateway knows. A user is there while a socket of theirs has said so, and
 * online if any has. Changes here are pushed to the store; what the store answers is compared with what
 * was told last, and the difference is told. While the store fails, what others said before stays true.
 */
export class OrganizationPresence {
  readonly #organizationId: string;
  readonly #store: PresenceStore;
  readonly #tell: (changes: PresenceChange[], isOurs: boolean) => void;
  /** What each socket here said of its user. */
  readonly #here = new Map<string, Map<object, Status>>();
  /** What the store was last told, as far as it has answered. */
  #stored: Roster = new Map();
  #told: Roster = new Map();
  #lastHere: Roster = new Map();
  #round: Promise<void> | undefined;
  /** The round after it, which has not begun. */
  #following: Promise<void> | undefined;
  readonly #restMs: number;
  #restsUntil = 0;
  #mustRepeat = false;

  /** @param tell hears every change once; `isOurs` when something was pushed, so that other gateways must look */
  constructor(
    organizationId: string,
    store: PresenceStore,
    tell: (changes: PresenceChange[], isOurs: boolean) => void,
    restMs = usualRestMs,
  ) {
    this.#restMs = restMs;
    this.#organizationId = organizationId;
    this.#store = store;
    this.#tell = tell;
  }

  /** Everybody, as last told. */
  get roster(): Roster {
    return this.#told;
  }

  get isEmpty(): boolean {
    return this.#told.size === 0 && this.#here.size === 0 && this.#stored.size === 0;
  }

  /** What a socket says of its user. */
  set(socket: object, userId: string, status: Status): void {
    const sockets = this.#here.get(userId) ?? new Map<object, Status>();
    this.#here.set(userId, sockets.set(socket, status));
  }

  /** A socket is gone. Answers whether it had said anything. */
  remove(socket: object, userId: string): boolean {
    const sockets = this.#here.get(userId);
    if (!sockets?.delete(socket)) return false;
    if (sockets.size === 0) this.#here.delete(userId);
    return true;
  }

  /** Resolves when the store has heard of everything said before, or has failed. */
  exchange(): Promise<void> {
    // a round that has begun may have missed what was said last
    return (this.#following ??= this.#takeTurn());
  }

  /** As `exchange`, repeating what the store should know already. */
  refresh(): Promise<void> {
    this.#mustRepeat = true;
    return this.exchange();
  }

  async #takeTurn(): Promise<void> {
    await this.#round?.catch(() => undefined);
    const waitMs = this.#restsUntil - performance.now();
    if (waitMs > 0) await new Promise((rested) => setTimeout(rested, waitMs));
    this.#following = undefined;
    this.#round = this.#exchangeOnce();
    await this.#round;
  }

  async #exchangeOnce(): Promise<void> {
    const [here, stored, told] = [this.#rosterHere(), this.#stored, this.#told];
    const changed = difference(here, stored);
    const drop = difference(stored, here);
    const left = absentIn(here, this.#lastHere);
    this.#lastHere = here;
    const put = this.#mustRepeat ? here : changed;
    this.#mustRepeat = false;
    let next: Roster;
    try {
      next = await this.#store.exchange(this.#organizationId, put, drop);
      this.#stored = here;
    } catch {
      this.#mustRepeat = true;
      next = new Map([...[...told].filter(([userId]) => !left.includes(userId)), ...here]);
    }
    this.#told = next;
    this.#restsUntil = performance.now() + this.#restMs;
    const offline = absentIn(next, told).map((userId) => ({ userId, status: "offline" as const }));
    const changes = [...difference(next, told)].map(([userId, status]) => ({ userId, status }));
    this.#tell([...changes, ...offline], changed.size > 0 || drop.size > 0);
  }

  #rosterHere(): Roster {
    const roster = new Map<string, Status>();
    for (const [userId, sockets] of this.#here)
      roster.set(userId, [...sockets.values()].includes("online") ? "online" : "away");
    return roster;
  }
}

/** What `roster` says and `other` does not. */
const difference = (roster: Roster, other: Roster): Roster =>
  new Map([...roster].filter(([userId, status]) => other.get(userId) !== status));

const absentIn = (roster: Roster, earlier: Roster): string[] =>
  [...earlier.keys()].filter((userId) => !roster.has(userId));
