import type { Contract } from "../../mixins/contract/contract.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { PlacedEvent } from "./events.repository.ts";

/** Which durable listeners hear an event type. */
export class Subscriptions {
  readonly #byType = new Map<string, string[]>();
  readonly #hearAll: string[] = [];

  constructor(contracts: readonly Contract[]) {
    for (const { name, listeners } of contracts)
      for (const [listener, { on }] of Object.entries(listeners)) {
        if (on.includes("*")) this.#hearAll.push(`${name}.${listener}`);
        else for (const type of on) this.#add(type, `${name}.${listener}`);
      }
  }

  of(type: string): readonly string[] {
    const own = this.#byType.get(type);
    return own ? [...own, ...this.#hearAll] : this.#hearAll;
  }

  #add(type: string, listener: string): void {
    const known = this.#byType.get(type);
    if (known) known.push(listener);
    else this.#byType.set(type, [listener]);
  }
}

/** For one listener, the span of the events of an organization that were just placed and that it hears. */
interface Call {
  organizationId: string;
  listener: string;
  first: number;
  last: number;
}

/** What the listeners are to be told of these events, which come by organization and seq. */
export function callsFor(subscriptions: Subscriptions, placed: readonly PlacedEvent[]): Call[] {
  const calls = new Map<string, Call>();
  for (const { organizationId, event } of placed)
    for (const listener of subscriptions.of(event.type)) {
      const known = calls.get(organizationId + listener);
      if (known) known.last = event.seq;
      else
        calls.set(organizationId + listener, {
          organizationId,
          listener,
          first: event.seq,
          last: event.seq,
        });
    }
  return [...calls.values()];
}

/** Makes sure that a job is under way for each of these listeners, in the transaction that placed the events. */
export async function ring(tx: UnitOfWork, calls: readonly Call[]): Promise<void> {
  if (calls.length === 0) return;
  const idle = await tx.query<{ organization_id: string; listener: string }>({
    name: "ring_listeners",
    text: "SELECT organization_id, listener FROM ring_listeners($1, $2, $3, $4)",
    values: [
      calls.map(({ organizationId }) => organizationId),
      calls.map(({ listener }) => listener),
      calls.map(({ first }) => first),
      calls.map(({ last }) => last),
    ],
  });
  for (const { organization_id: organizationId, listener } of idle)
    tx.enqueue({ task: listener, payload: {}, organizationId });
}
