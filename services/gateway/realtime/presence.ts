import type { PresenceStore, Roster, Status } from "./presence-store.ts";

/** A user whose presence has changed; `offline` when the last of its sockets is gone. */
export interface PresenceChange {
  userId: string;
  status: Status | "offline";
}

/** How often a gateway repeats what it knows: entries end after 12 s, so two repeats may fail. */
export const refreshMs = 4_000;
/** Least time between two exchanges of an organization: a crowd that connects at once makes few. */
const restMs = 100;

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
  #next: Promise<void> | undefined;
  #isStale = false;
  #mustRepeat = false;

  /** @param tell hears every change once; `isOurs` when something was pushed, so that other gateways must look */
  constructor(
    organizationId: string,
    store: PresenceStore,
    tell: (changes: PresenceChange[], isOurs: boolean) => void,
  ) {
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

  /** What a socket says of its user; undefined when it is gone. */
  set(socket: object, userId: string, status: Status | undefined): void {
    const sockets = this.#here.get(userId) ?? new Map<object, Status>();
    if (status === undefined) sockets.delete(socket);
    else sockets.set(socket, status);
    if (sockets.size > 0) this.#here.set(userId, sockets);
    else this.#here.delete(userId);
  }

  /** Resolves when the store has heard of everything said before, or has failed. */
  exchange(): Promise<void> {
    this.#isStale = true;
    return (this.#next ??= this.#run());
  }

  /** As `exchange`, repeating what the store should know already. */
  refresh(): Promise<void> {
    this.#mustRepeat = true;
    return this.exchange();
  }

  async #run(): Promise<void> {
    try {
      while (this.#isStale) {
        this.#isStale = false;
        await this.#exchangeOnce();
        if (this.#isStale) await new Promise((rested) => setTimeout(rested, restMs));
      }
    } finally {
      this.#next = undefined;
    }
  }

  async #exchangeOnce(): Promise<void> {
    const [here, stored] = [this.#rosterHere(), this.#stored];
    const changed = new Map([...here].filter(([userId, status]) => stored.get(userId) !== status));
    const drop = absentIn(here, stored);
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
      next = new Map([...[...this.#told].filter(([userId]) => !left.includes(userId)), ...here]);
    }
    const changes = changesBetween(this.#told, next);
    this.#told = next;
    this.#tell(changes, changed.size > 0 || drop.length > 0);
  }

  #rosterHere(): Roster {
    const roster = new Map<string, Status>();
    for (const [userId, sockets] of this.#here)
      roster.set(userId, [...sockets.values()].includes("online") ? "online" : "away");
    return roster;
  }
}

const absentIn = (here: Roster, earlier: Roster): string[] =>
  [...earlier.keys()].filter((userId) => !here.has(userId));

function changesBetween(before: Roster, after: Roster): PresenceChange[] {
  const changes: PresenceChange[] = [];
  for (const [userId, status] of after) if (before.get(userId) !== status) changes.push({ userId, status });
  for (const userId of absentIn(after, before)) changes.push({ userId, status: "offline" });
  return changes;
}
