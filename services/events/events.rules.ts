import type { FeedAdvanced, SequencedEvent } from "../../mixins/events/feed.ts";
import type { PlacedEvent } from "./events.repository.ts";

/** With more new events than this in one organization, the hint leaves them out and gateways read them. NATS carries 1 MiB. */
const mostInline = { events: 50, bytes: 256 * 1024 };

/** The hints to send after a commit that placed these events, which come by organization and seq. */
export function announcements(placed: readonly PlacedEvent[]): FeedAdvanced[] {
  const byOrganization = new Map<string, { events: SequencedEvent[]; bytes: number }>();
  for (const { organizationId, event, size = Infinity } of placed) {
    const own = byOrganization.get(organizationId);
    if (own) {
      own.events.push(event);
      own.bytes += size;
    } else byOrganization.set(organizationId, { events: [event], bytes: size });
  }
  return [...byOrganization].map(([organizationId, { events, bytes }]) => ({
    organizationId,
    from: (events[0] as SequencedEvent).seq,
    head: (events.at(-1) as SequencedEvent).seq,
    ...(events.length <= mostInline.events && bytes <= mostInline.bytes ? { events } : {}),
  }));
}
