import { can, type Principal } from "../../access/principal.ts";
import type { AnyKind } from "./kind.ts";
import { partsOf, type Part } from "./parts.ts";

type Guarding = Pick<AnyKind, "fields" | "plural">;
type Input = Readonly<Record<string, unknown>>;

/** Whether the kind has guarded fields of parts, and the principal may give them. */
export const mayGiveGuarded = ({ fields, plural }: Guarding, principal: Principal): boolean => {
  const all = partsOf(fields).flatMap(([, { guarded }]) => guarded ?? []);
  return all.length > 0 && all.every(({ verb }) => can(principal, `${plural}:${verb}`));
};

/** An input without the guarded fields of its parts: they stay as they are, and are empty in a new part. */
export function withoutGuarded<T extends Input>({ fields }: Pick<AnyKind, "fields">, input: T): T {
  let allowed = input;
  for (const [key, { guarded }] of partsOf(fields)) {
    const parts = input[key] as readonly Part[] | null | undefined;
    if (!parts || !guarded) continue;
    allowed = { ...allowed, [key]: parts.map((part) => ({ ...part, [guarded.field]: undefined })) };
  }
  return allowed;
}

/** An input without those fields of parts that the principal may not give. */
export const permitted = <T extends Input>(kind: Guarding, principal: Principal, input: T): T =>
  mayGiveGuarded(kind, principal) ? input : withoutGuarded(kind, input);
