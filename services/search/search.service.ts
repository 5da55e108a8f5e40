import type { Context, ServiceSchema } from "moleculer";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { Cache, cacheTtl } from "../../mixins/redis/cache.ts";
import type { HandlersOf } from "../contracts.ts";
import { search, searchTag } from "./search.actions.ts";
import { searchContract, type Found } from "./search.contract.ts";

/** Looking for records of all kinds at once. */
export default function searchService(runtime: Runtime): ServiceSchema {
  const cache = new Cache<Found>(runtime.redis, { name: "search", ttlSeconds: cacheTtl.query });
  const handlers: HandlersOf<typeof searchContract> = { search: (ctx) => search(ctx, cache) };
  return createService(searchContract, handlers, runtime, {
    events: {
      /** Something has happened: what was found before may be so no more. */
      "feed.advanced"(ctx: Context<{ organizationId: string }>) {
        void cache.invalidate(ctx.params.organizationId, searchTag);
      },
    },
  });
}
