import { can, type Principal } from "../access/principal.ts";
import type { AnyKind } from "./kind.ts";
import { partsOf, type Part } from "./parts.ts";

/** An input without those fields of parts that the principal may not give: they stay as they are, and are empty in a new part. */
export function permitted<T extends Readonly<Record<string, unknown>>>(
  { fields, plural }: Pick<AnyKind, "fields" | "plural">,
  principal: Principal,
  input: T,
): T {
  let allowed = input;
  for (const [key, { guarded }] of partsOf(fields)) {
    const parts = input[key] as readonly Part[] | null | undefined;
    if (!parts || !guarded || can(principal, `${plural}:${guarded.verb}`)) continue;
    allowed = { ...allowed, [key]: parts.map((part) => ({ ...part, [guarded.field]: undefined })) };
  }
  return allowed;
}
