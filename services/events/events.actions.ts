import { pageBytes } from "../../mixins/database/statement.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { feedFilter, type FilteredEvent } from "../../mixins/events/feed-filter.ts";
import { publicEvent, readFeed, readFeedHead, type SequencedEvent } from "../../mixins/events/feed.ts";
import type { Ctx, Result } from "../contracts.ts";

const pageSize = 500;
/** A caller who may see little must not make one request read a whole feed; `next` lets it go on. */
const mostLookedAt = { events: 5_000, bytes: 2 * pageBytes };

/** Answers the part of the feed after `since` that the caller may see and asked for. */
export async function list(ctx: Ctx<"events.list">): Promise<Result<"events.list">> {
  const { principal, tx } = ctx.locals;
  const { since, limit, types } = ctx.params;
  const head = await readFeedHead(tx);
  if (since >= head) return { data: [], head, next: head, ...(since > head ? { gap: true } : {}) };
  const isVisible = feedFilter(principal, types);
  const { found, next, oldest } = await look(tx, { since, head, limit, isVisible });
  // seq has no holes, so the event after `since` is missing only where retention has dropped it
  return { data: found.map(publicEvent), head, next, ...(oldest === since + 1 ? {} : { gap: true }) };
}

async function look(
  tx: UnitOfWork,
  { since, head, limit, isVisible }: LookOptions,
): Promise<{ found: SequencedEvent[]; next: number; oldest: number | undefined }> {
  const found: SequencedEvent[] = [];
  let next = since;
  let oldest: number | undefined;
  let bytes = 0;
  for (let looked = 0; looked < mostLookedAt.events && bytes < mostLookedAt.bytes; looked += pageSize) {
    const page = await readFeed(tx, next, pageSize, Math.min(pageBytes, mostLookedAt.bytes - bytes));
    bytes += page.bytes;
    oldest ??= page.events[0]?.seq;
    for (const event of page.events) {
      // what came after `head` was read belongs to the next answer
      if (event.seq > head) return { found, next: head, oldest };
      next = event.seq;
      if (isVisible(event) && found.push(event) === limit) return { found, next, oldest };
    }
    if (!page.hasMore) return { found, next: head, oldest };
  }
  return { found, next, oldest };
}

interface LookOptions {
  since: number;
  head: number;
  limit: number;
  isVisible: (event: FilteredEvent) => boolean;
}
