import { v7 as uuidv7 } from "uuid";
import type { RecordedEvent } from "../../mixins/database/unit-of-work.ts";
import type { Runtime } from "../../mixins/contract/service.ts";

type EventParts = Partial<Omit<RecordedEvent, "entity">> & { entity?: Partial<RecordedEvent["entity"]> };

/** An event as a service records it; `overrides` replace its parts. */
export function buildEvent({ entity, ...overrides }: EventParts = {}): RecordedEvent {
  return {
    type: "lead.created",
    actorId: null,
    audience: null,
    data: {},
    ...overrides,
    entity: { kind: "lead", id: uuidv7(), version: 1, ...entity },
  };
}

/** Commits events in one transaction, hinting of them as an action does. */
export async function append(
  runtime: Runtime,
  organizationId: string,
  ...events: EventParts[]
): Promise<void> {
  await runtime.database.transaction({ organizationId }, (tx) => {
    for (const event of events) tx.record(buildEvent(event));
    return Promise.resolve();
  });
  runtime.onEvents(organizationId);
}

/** Commits `count` events, each in a transaction of its own, one after the other. */
export async function appendMany(
  runtime: Runtime,
  organizationId: string,
  count: number,
  data: unknown = {},
) {
  for (let written = 0; written < count; written++) await append(runtime, organizationId, { data });
}
