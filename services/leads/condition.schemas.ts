import { z } from "zod";
import { text } from "../../mixins/contract/schemas.ts";

/** What conditions may ask about: fields of the lead, and facts derived from them (scoring.facts.ts). */
export const factFields = [
  ...[
    "externalId",
    "firstName",
    "lastName",
    "email",
    "phone",
    "companyName",
    "title",
    "source",
    "status",
    "tags",
  ],
  ...["emailDomain", "emailKind", "seniority", "visits", "secondsOnSite", "doNotEmail", "doNotCall"],
] as const;
/** One test of a lead, about one of `fields`. */
export const conditionOn = (fields: readonly string[]) =>
  z.strictObject({
    /** One of `fields`, `customFields.<key>` or `consent.<key>`. */
    field: z
      .string()
      .max(100)
      .refine((field) => fields.includes(field) || /^(customFields|consent)\.[\w -]{1,64}$/.test(field), {
        error: "is not a field that conditions know",
        params: { code: "unknown_field" },
      }),
    op: z.enum(["eq", "ne", "gt", "gte", "lt", "lte", "in", "like", "isnull"]),
    /** For `in` a list, for `like` a text or a list of texts (`*` stands for anything), for `isnull` a boolean. */
    value: z.union([text(500), z.number(), z.boolean(), z.array(z.union([text(500), z.number()])).max(100)]),
  });
