import type { FeedAdvanced, SequencedEvent } from "../../mixins/events/feed.ts";
import type { PlacedEvent } from "./events.repository.ts";

/** With more new events than this in one organization, the hint leaves them out and gateways read them. */
const mostInline = 50;

/** The hints to send after a commit that placed these events, which come by organization and seq. */
export function announcements(placed: readonly PlacedEvent[]): FeedAdvanced[] {
  const byOrganization = new Map<string, SequencedEvent[]>();
  for (const { organizationId, event } of placed) {
    const events = byOrganization.get(organizationId);
    if (events) events.push(event);
    else byOrganization.set(organizationId, [event]);
  }
  return [...byOrganization].map(([organizationId, events]) => ({
    organizationId,
    from: (events[0] as SequencedEvent).seq,
    head: (events.at(-1) as SequencedEvent).seq,
    ...(events.length <= mostInline ? { events } : {}),
  }));
}
