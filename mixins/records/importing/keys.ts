import { phoneForms, phoneKey } from "../../values/phone.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { columnOf } from "../finding/listing.ts";

type Input = Readonly<Record<string, unknown>>;

/** Fields by which a row of a file may be found to be of a record, the strongest first. */
export function importKeysOf({ fields }: Pick<AnyKind, "fields">): string[] {
  const declared = (as: "always" | "asked") =>
    Object.entries(fields).flatMap(([key, { importKey, matches }]) =>
      (importKey ?? (matches ? "always" : undefined)) === as ? [key] : [],
    );
  return [...("externalId" in fields ? ["externalId"] : []), ...declared("always"), ...declared("asked")];
}

/** Those of them that an import matches by where it is not told by which. */
export const defaultKeysOf = (kind: Pick<AnyKind, "fields">): string[] =>
  importKeysOf(kind).filter((key) => kind.fields[key]?.importKey !== "asked");

/** A value to be looked for, with those of the stronger keys beside it, which must not differ; in the order of these. */
export interface SoughtKey {
  value: string;
  stronger: (string | null)[];
}
/** By which keys stored records have to be looked up. */
export type SoughtKeys = ReadonlyMap<string, readonly SoughtKey[]>;

/** What is told of how rows find records. */
export interface Matching {
  onDuplicate: "skip" | "update" | "create";
  matchBy: readonly string[];
}

/** The keys of a batch, each once. */
export function soughtKeysOf(
  kind: Pick<AnyKind, "fields">,
  inputs: readonly Input[],
  { onDuplicate, matchBy }: Matching,
): SoughtKeys {
  const keys = importKeysOf(kind);
  const sought = new Map(keys.map((key) => [key, new Map<string, SoughtKey>()]));
  for (const input of inputs)
    for (const [place, key] of keys.entries()) {
      const value = textIn(input, key);
      // external ids must not be given twice, whatever is matched by
      if (value === null || (place > 0 && (onDuplicate === "create" || !matchBy.includes(key)))) continue;
      const stronger = place === 0 ? [] : keys.slice(0, place).map((other) => textIn(input, other));
      for (const form of formsOf(kind, key, value))
        sought.get(key)?.set(stronger.length === 0 ? form : JSON.stringify([form, ...stronger]), {
          value: form,
          stronger,
        });
    }
  return new Map([...sought].map(([key, found]) => [key, [...found.values()]]));
}

/** All forms in which a value may be stored. */
const formsOf = ({ fields }: Pick<AnyKind, "fields">, key: string, value: string): string[] =>
  fields[key]?.format === "phone" ? phoneForms(value) : [value];

/** What values of a key that are one have in common. */
export const keyName = ({ fields }: Pick<AnyKind, "fields">, key: string, value: string): string =>
  `${key} ${fields[key]?.format === "phone" ? phoneKey(value) : value}`;

/** The text that an input gives for a key; null where it gives none. */
export function textIn(input: Input, key: string): string | null {
  const value = input[key];
  return typeof value === "string" ? value : null;
}
/** The same of a row. */
export const textOf = (row: AnyRow, key: string): string | null => row[columnOf(key)] as string | null;
