import {
  emailText,
  phoneText,
  undeclared,
  type Fields,
  type QueryField,
} from "../../mixins/records/conditions/fields.ts";
import type { CustomFields } from "../../mixins/records/finding/listing.ts";
import { leadStatuses } from "../../entities/lead.ts";

/** Values that are stored in one form, and found by any. */
export const storedForms = { email: emailText, phone: phoneText };

const text: QueryField = { type: "text" };
const number: QueryField = { type: "number" };
const yesOrNo: QueryField = { type: "boolean" };

/** What conditions may ask about: fields of the lead, and facts derived from them (scoring.facts.ts). */
const facts: Record<string, QueryField> = {
  externalId: text,
  firstName: text,
  lastName: text,
  email: { type: "text", ...storedForms.email },
  phone: { type: "text", ...storedForms.phone },
  companyName: text,
  title: text,
  source: text,
  status: { type: "text", values: leadStatuses },
  tags: { type: "text[]" },
  emailDomain: text,
  emailKind: { type: "text", values: ["business", "free"] },
  seniority: { type: "text", values: ["executive", "director", "manager", "other"] },
  visits: number,
  secondsOnSite: number,
  doNotEmail: yesOrNo,
  doNotCall: yesOrNo,
};

/**
 * What may be asked of a lead in memory. Keys of custom fields and consent that nobody has defined are known too: they come with
 * the leads.
 * @param definitions of custom fields
 * @param more besides the facts
 */
export function factFields(
  definitions: CustomFields = new Map<string, QueryField>(),
  more: Record<string, QueryField> = {},
): Fields {
  const known = { ...facts, ...more };
  return {
    names: [...Object.keys(known), "customFields.<key>", "consent.<key>"],
    fieldOf(path) {
      const [, group, key = ""] = /^(customFields|consent)\.([\w -]{1,64})$/.exec(path) ?? [];
      if (group !== undefined) return (group === "consent" ? undefined : definitions.get(key)) ?? undeclared;
      return Object.hasOwn(known, path) ? known[path] : undefined;
    },
  };
}
/** Pools may ask for the score too; a scoring rule may not. */
export const score = { score: { type: "integer" } } as const satisfies Record<string, QueryField>;
