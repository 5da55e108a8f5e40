/**
 * A durable reaction to events. It hears each event of its types once they are sequenced, an entity's in order.
 * What it writes in `ctx.locals.tx` commits together with the note that the event was heard, so that effect
 * happens exactly once; any other effect happens at least once. It starts with the events that come after its first deployment.
 *
 * An event it fails on is tried again with growing pauses, while the entity's later events wait and other
 * entities go on; after ten tries it is a dead job, to be retried or dropped.
 */
export interface ListenerSpec<T extends string = string> {
  summary: string;
  /** Event types; `*` hears all. */
  on: readonly T[];
}

/** Gives `spec` its precise type. */
export const listener = <const T extends string>(spec: ListenerSpec<T>): ListenerSpec<T> => spec;
