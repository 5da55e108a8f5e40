import { associationsOf } from "../../mixins/records/importing/associations.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import type { Field } from "../../mixins/records/kind/fields.ts";
import { kinds } from "../../mixins/records/kind/kinds.ts";
import { letters } from "./letters.rules.ts";

/** How a cell is read for its target. */
export type Reading =
  | "text"
  | "phone"
  | "integer"
  | "boolean"
  | "money"
  | "tags"
  /** One of a few values. */
  | "choice"
  /** A user, by id or email. */
  | "user"
  /** ISO 8601; without an offset of the organization's zone. */
  | "time"
  /** A record, by id. */
  | "reference"
  /** JSON, as an export writes it. */
  | "object"
  /** A JSON list of objects, in the same way. */
  | "list"
  /** One text of an object, `address.city`. */
  | "part"
  /** A key of an associated record, `company.name`. */
  | "associated";

/** What a column may fill. */
export interface Target {
  reading: Reading;
  field: Field;
  /** Names by which columns are known for it, reduced by `letters`; the first that a file has is taken. */
  names: readonly string[];
}

/** What columns of files of a kind may fill; `customFields.<key>` and `consent.<key>` besides, where the kind has these. */
export interface KindTargets {
  kind: AnyKind;
  targets: ReadonlyMap<string, Target>;
  /** Fields whose keys are targets of their own. */
  keyed: readonly string[];
  /** Targets that who brings the file may not fill, and why. */
  withheld: ReadonlyMap<string, string>;
}

/** What other programs call the id that a record has there. */
const idNames = ["recordid", "crmid", "id"];

const readingOf = ({ stored, merge, values, isUser, isNamed, refersTo, format }: Field): Reading => {
  if (format === "phone") return "phone";
  if (isUser) return "user";
  if (isNamed) return "text";
  if (stored === "timestamp") return "time";
  if (refersTo !== undefined) return "reference";
  if (values) return "choice";
  if (stored === "text[]") return "tags";
  if (stored === "integer" || stored === "boolean" || stored === "money") return stored;
  if (stored === "parts") return "list";
  if (stored === "json" || merge === "keys") return "object";
  return "text";
};

const known = new Map<string, KindTargets>();

/** What columns of files of a kind may fill. */
export function targetsOf(kind: AnyKind): KindTargets {
  const found = known.get(kind.name);
  if (found) return found;
  const targets = new Map<string, Target>();
  const named = (key: string, aliases: readonly string[] = []) => [
    ...new Set([key, ...aliases].map(letters)),
  ];
  for (const [key, field] of Object.entries(kind.fields)) {
    // a row cannot name another of its own file by an id that it has not yet
    if ((field.setBy !== "caller" && !field.isImported) || field.refersTo === kind.name) continue;
    const reading = readingOf(field);
    const names = named(key, field.aliases);
    const isGuessed =
      !["object", "list", "user", "reference"].includes(reading)
      && (field.setBy === "caller" || field.aliases !== undefined);
    targets.set(key, {
      ...{ reading, field },
      names:
        key === "externalId"
          ? [...names, ...idNames]
          : key === "tags"
            ? [...names, "labels"]
            : isGuessed
              ? names
              : [],
    });
    for (const part of partsOf(field))
      targets.set(`${key}.${part}`, { reading: "part", field, names: named(part, [`${key}${part}`]) });
  }
  for (const { relation, target, keys } of associationsOf(kind, kinds))
    for (const key of keys) {
      const field = target.fields[key] as Field;
      targets.set(`${relation}.${key}`, {
        ...{ reading: "associated", field },
        names: named(`${relation}${key}`, field.aliases),
      });
    }
  const all: KindTargets = {
    ...{ kind, targets, withheld: new Map() },
    keyed: Object.entries(kind.fields).flatMap(([key, { merge }]) => (merge === "keys" ? [key] : [])),
  };
  known.set(kind.name, all);
  return all;
}

/** Texts that an object consists of, which columns fill one by one. */
function partsOf({ stored, merge, input }: Field): string[] {
  const { shape } = input as { shape?: object };
  return stored === "json" && merge !== "keys" && shape !== undefined ? Object.keys(shape) : [];
}

/** Whether columns of records of a kind are often called so. */
export const isKnownColumn =
  ({ targets }: KindTargets) =>
  (heading: string): boolean =>
    [...targets.values()].some(({ names }) => names.includes(letters(heading)));

/**
 * Where the columns of an export of ours go, when the file is one: each of its columns is named as an export names it, and one
 * as nobody else would. What the server sets itself is left out: reading it back would change what it says.
 */
export function exportTargets(
  { kind, targets, withheld }: KindTargets,
  columns: readonly string[],
): Map<string, string | null> {
  const shown = new Set([...Object.keys(kind.listing.fields), "sensitive"]);
  const isExport =
    columns.every((column) => shown.has(column) || targets.get(column)?.reading === "associated")
    && columns.some((column) => isTelling(kind, column));
  if (!isExport) return new Map();
  return new Map(
    columns.map((column) => [column, targets.has(column) && !withheld.has(column) ? column : null]),
  );
}
/** A name that no other program gives a column. */
const isTelling = ({ fields }: AnyKind, column: string): boolean =>
  column === "customFields" || (fields[column]?.setBy === "service" && /[a-z][A-Z]/.test(column));
