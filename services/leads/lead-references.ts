import { kinds } from "../../entities/kinds.ts";
import type { referencesOf } from "../../mixins/records/references.ts";

/** Leads refer to other records by custom fields alone. */
export const leadReferences = (): Parameters<typeof referencesOf>[1] => ({
  kind: { fields: {} },
  desk: { kinds },
});
