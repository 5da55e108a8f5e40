import { LRUCache } from "lru-cache";
import type { ServiceBroker } from "moleculer";
import type { Claims } from "../../../mixins/access/access-token.ts";
import { appError } from "../../../mixins/contract/errors.ts";
import { metaOf } from "../../../mixins/contract/meta.ts";
import { kinds } from "../../../mixins/records/kind/kinds.ts";

/** What decides who may see a record. */
export interface RecordOwner {
  assignedTo: string | null;
}
/** @throws as the record's own GET does: 403, 404 */
export type FindRecord = (caller: Claims, kind: string, id: string) => Promise<RecordOwner>;

/** How long a record's assignee, and the sender's right to see it, are believed without a look. */
const ttlMs = 1_500;

/** Asks a record's own service, so that its rule alone says who may see it: people are seen to write in records of every kind. */
export function recordFinder(broker: ServiceBroker): FindRecord {
  const found = new LRUCache<string, RecordOwner>({ max: 20_000, ttl: ttlMs });
  return async (caller, kind, id) => {
    const { organizationId, userId, role, scopes } = caller;
    const key = [organizationId, userId, role, scopes?.join(), kind, id].join("|");
    const known = found.get(key);
    if (known) return known;
    const plural = kinds.get(kind)?.plural;
    if (plural === undefined) throw appError(404, "RECORD_NOT_FOUND", "There is no such record.");
    const { assignedTo = null } = await broker.call<Partial<RecordOwner>, { id: string }>(
      `${plural}.get`,
      { id },
      { meta: metaOf(caller), timeout: 5_000 },
    );
    found.set(key, { assignedTo });
    return { assignedTo };
  };
}
