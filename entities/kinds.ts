import type { AnyKind } from "../mixins/records/kind.ts";
import { company } from "./company.ts";
import { contact } from "./contact.ts";

/** Every kind of record, by name. */
export const kinds: ReadonlyMap<string, AnyKind> = new Map(
  [contact, company].map((kind) => [kind.name, kind]),
);
