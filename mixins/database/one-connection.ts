import { AsyncLocalStorage } from "node:async_hooks";

/** What may hold a connection: a unit of work. */
interface Holder {
  readonly isOpen: boolean;
}
interface Link {
  holder: Holder;
  outer: Link | undefined;
}
const links = new AsyncLocalStorage<Link | undefined>();

/** Runs the work of a unit of work; whoever takes a connection meanwhile is looked at, see `requireNoneHeld`. */
export const inUnit = <T>(holder: Holder, work: () => Promise<T>): Promise<T> =>
  links.run({ holder, outer: links.getStore() }, work);

/** Runs what nobody who holds a connection waits for: it may take one whoever began it. */
export const apart = <T>(work: () => Promise<T>): Promise<T> => links.run(undefined, work);

/**
 * The guard of pools: whoever holds a connection and waits for another waits, when all do so, for ever. What needs one of its
 * own (settings, keys, other services, actors) is asked before the first statement, or after the commit.
 * @param own the unit of work that takes its own connection
 * @throws Error, a bug, when a unit of work on whose behalf this runs holds a connection
 */
export function requireNoneHeld(own?: Holder): void {
  for (let link = links.getStore(); link; link = link.outer)
    if (link.holder !== own && link.holder.isOpen)
      throw new Error(
        "Another connection was asked for inside an open transaction: ask before its first statement",
      );
}
