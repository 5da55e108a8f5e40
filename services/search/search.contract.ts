import { z } from "zod";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { id, wholeNumber } from "../../mixins/contract/schemas.ts";
import { kindNames } from "../../mixins/records/kind/kinds.ts";

const hit = z
  .strictObject({
    kind: z.string(),
    id,
    title: z.string(),
    /** HTML: what is said of it besides, escaped, with what was looked for in `<mark>`. */
    snippet: z.string(),
    /** 0 to 1: how well it fits what was looked for. */
    score: z.number().min(0).max(1),
  })
  .meta({ id: "SearchHit" });
export type Hit = z.output<typeof hit>;
const count = z.union([z.number().int(), z.strictObject({ atLeast: z.number().int() })]);
const found = z.strictObject({
  data: z.array(hit),
  /** How many there are of each kind. */
  facets: z.strictObject({ kind: z.record(z.string(), count) }),
  /** Where nothing was found: the same of words that are there. */
  didYouMean: z.string().optional(),
});
export type Found = z.output<typeof found>;

/** Looking for records of all kinds at once. */
export const searchContract = defineContract("search", {
  tables: { reads: ["pipelines"] },
  actions: {
    search: action({
      summary:
        "Records of every kind that one may read, the best first: each word must begin a word of theirs; owner:me, stage:won, tag:vip, status:new and the like must hold",
      params: z.strictObject({
        q: z
          .string()
          .trim()
          .min(1)
          .max(200)
          .transform((q) => q.replaceAll("\0", " ")),
        /** Only these; those that one may not read are left out. */
        kinds: z
          .union([z.string().transform((list) => list.split(",")), z.array(z.string())])
          .pipe(z.array(z.lazy(() => z.enum(kindNames as [string, ...string[]]))).min(1))
          .optional(),
        limit: wholeNumber(1, 200).default(50),
      }),
      returns: found.extend({ tookMs: z.number() }).meta({ id: "SearchResult" }),
      reads: true,
      permission: "authenticated",
      rest: "GET /search",
    }),
  },
  events: {},
});
