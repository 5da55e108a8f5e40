import { z } from "zod";
import { id, timestamp } from "../../contract/schemas.ts";
import { sharedValue } from "./shared-json.ts";
import { fromMinorUnits, toMinorUnits, type Field, type StoredAs } from "./fields.ts";
import { columnOf, type Listing } from "../finding/listing.ts";
import { partFilters } from "./part-rows.ts";
import { anyRefFilters } from "./any-ref-filters.ts";
import { keptParts, wholeParts, type Part } from "./parts.ts";

export type Fields = Record<string, Field>;
/** What SQL keeps for itself has a line behind it, see `columnOf`. */
type ColumnName<S extends string> = S extends "window" ? "window_" : Snake<S>;
type Snake<S extends string> = S extends `${infer A}${infer B}`
  ? A extends Lowercase<A>
    ? `${A}${Snake<B>}`
    : `_${Lowercase<A>}${Snake<B>}`
  : S;
type InputShape<F extends Fields> = {
  [K in keyof F as F[K]["setBy"] extends "caller" ? K : never]: F[K]["input"];
};
type OutputShape<F extends Fields> = {
  [K in keyof F as F[K]["setBy"] extends "unseen" ? never : K]: F[K]["output"];
};

/** Columns of every record. */
export interface RecordColumns {
  id: string;
  organization_id: string;
  version: number;
  created_at: string;
  updated_at: string;
  deleted_at: string | null;
  /** The record that it is part of now; it is deleted then. */
  merged_into: string | null;
}
/** A row of the kind's table: times are ISO 8601 in UTC; money is whole minor units as text, beside its currency. */
export type RowOf<K> =
  K extends Kind<string, infer F>
    ? RecordColumns & {
        [C in keyof F & string as ColumnName<C>]: F[C]["stored"] extends "money" | "anyRef"
          ? string | null
          : z.output<F[C]["output"]>;
      } & {
        [C in keyof F & string as F[C]["stored"] extends "money" ? `${Snake<C>}_currency` : never]:
          string | null;
      } & {
        [
          C in keyof F & string as F[C]["stored"] extends "anyRef"
            ? `${Snake<C>}_kind` | `${Snake<C>}_owner`
            : never
        ]: string | null;
      }
    : never;
/** A row of whatever kind. */
export type AnyRow = RecordColumns & Record<string, unknown>;
export type InputOf<K> = K extends Kind<string, infer F> ? z.output<z.ZodObject<InputShape<F>>> : never;
export type ViewOf<K> = K extends Kind ? z.output<K["view"]> : never;

/** Records that others refer to, each once, by their kind. */
export const included = z.record(z.string(), z.array(z.unknown()));
const own = {
  /** Keys of sensitive custom fields that have a value; it is null to those who may not see it. Absent where there is none. */
  sensitive: z.array(z.string()).optional(),
  /** Where `include` asked for it. */
  included: included.optional(),
  ...{ createdAt: timestamp, updatedAt: timestamp, version: z.number().int() },
};

/** Code of the refusal of a record that would say nothing of who or what it is. */
export const unidentified = "unidentified";

/** What is said of a kind besides its fields. */
interface Says<F extends Fields> {
  /** As paths, permissions and its table name it. */
  plural: string;
  /** Its table, where SQL does not take the plural. */
  table?: string;
  fields: F;
  /** A record must have one of these. Default: `title`. */
  identifiedBy?: readonly (keyof F & string)[];
  /** What it is called, of the first of these that are there. */
  title: readonly (keyof F & string)[];
  /** Default `-createdAt`. */
  defaultSort?: string;
  /** Whether it is set up by those who lead, and only read by those who sell. Default false. */
  isSetting?: boolean;
  /** An input, for the docs. */
  example: Record<string, unknown>;
}

/**
 * Declares a kind of record. From its fields come its schemas, its columns, what lists filter and sort by, and the
 * functions that make rows of inputs and views of rows.
 */
export function defineKind<const N extends string, F extends Fields>(name: N, spec: Says<F>) {
  const { plural, table = plural, fields, title, identifiedBy = title, defaultSort = "-createdAt" } = spec;
  const { isSetting = false, example } = spec;
  const columned = Object.entries(fields);
  const entries = shownFields(fields);
  const all = (test: (field: Field) => unknown) =>
    entries.filter(([, field]) => test(field)).map(([key]) => key);
  /** Results of `of` by field name; fields for which it returns undefined are left out. */
  const told = <T>(of: (field: Field, key: string) => T | undefined): Record<string, T> =>
    Object.fromEntries(
      entries.flatMap(([key, field]): [string, T][] => {
        const said = of(field, key);
        return said === undefined ? [] : [[key, said]];
      }),
    );
  const typeName = name.replaceAll(/(?:^|_)([a-z])/g, (_match, letter: string) => letter.toUpperCase());
  const outputs = Object.fromEntries(entries.map(([key, { output }]) => [key, output])) as OutputShape<F>;
  const inputs = Object.fromEntries(
    entries.filter(([, { setBy }]) => setBy === "caller").map(([key, { input }]) => [key, input]),
  ) as InputShape<F>;
  const view = z
    .strictObject({
      ...{ id, ...outputs, ...own },
    })
    .meta({ id: typeName });
  const input = z.strictObject(inputs).partial();
  const isThere = (given: Record<string, unknown>) =>
    identifiedBy.some((key) => {
      const value = given[key] ?? null;
      return Array.isArray(value) ? value.length > 0 : value !== null;
    });
  const newInput = input
    .refine(isThere, {
      error: `give at least one of ${identifiedBy.join(", ")}`,
      params: { code: unidentified },
    })
    .meta({ id: `New${typeName}`, examples: [example] });
  const listing: Listing = {
    table,
    fields: Object.fromEntries([
      ["id", "uuid"],
      ...entries.map(([key, { stored }]) => [key, isWide(stored) ? "json" : stored]),
      ...[
        ["createdAt", "timestamp"],
        ["updatedAt", "timestamp"],
        ["version", "integer"],
      ],
    ]) as Listing["fields"],
    columns: told((field, key) => (isWide(field.stored) ? columnsToShow(key, field) : undefined)),
    ownSql: { ...partFilters({ plural: table, fields }), ...anyRefFilters(fields) },
    filterable: [...all(({ isFilterable }) => isFilterable), "createdAt", "updatedAt"],
    stored: told(formOf),
    values: told(({ values }) => values),
    sortable: ["createdAt", "updatedAt", ...all(({ isSortable }) => isSortable)],
    nullable: all(({ isSortable, fallback }) => isSortable && fallback === undefined),
    defaultSort,
    // what has tags and custom fields is found by them; see pg_temp.findable
    ...("customFields" in fields && {
      finding: {
        // those that match have an index of their own
        terms: all(({ stored: as, isFilterable, matches }) => as === "text" && isFilterable && !matches),
        likes: all(({ stored: as, isFilterable }) => as === "text" && isFilterable),
      },
    }),
    customFields: "customFields" in fields,
  };
  const owner = entries.find(([, { isOwner }]) => isOwner)?.[0] as (keyof F & string) | undefined;
  const owners = [
    ...(owner === undefined ? [] : [columnOf(owner)]),
    ...all(({ stored: as }) => as === "anyRef").map(ownerColumnOf),
  ];
  return {
    ...{ name, typeName, plural, table, fields, title, identifiedBy, isSetting, example },
    /** What a caller is shown. */
    view,
    /** What a caller may change. */
    input,
    /** What a caller may make one of. */
    newInput,
    listing,
    /** Every column of the table. */
    columns: [...identity, ...changing, ...columned.flatMap(([key, field]) => columnsOf(key, field))],
    /** Those that a change may write. */
    mutableColumns: [...changing, ...columned.flatMap(([key, field]) => columnsOf(key, field))],
    /** The field that says whose it is. */
    owner,
    /** The columns that say whose it is: that field's, and those of whose the records are that it names. None: everybody sees it. */
    owners,
    show: shower(entries) as (row: object) => z.output<typeof view>,
    compose: composer(columned) as (
      given: Record<string, unknown>,
      own: { id: string; organizationId: string; now: string },
    ) => AnyRow,
  };
}
export type Kind<N extends string = string, F extends Fields = Fields> = ReturnType<typeof defineKind<N, F>>;

/** Fields that are shown, by name. */
export const shownFields = (fields: Fields): [string, Field][] =>
  Object.entries(fields).filter(([, { setBy }]) => setBy !== "unseen");

/** A kind of which nothing is known beforehand. */
export type AnyKind = Omit<Kind, "view" | "input" | "newInput" | "show"> & {
  view: z.ZodType;
  input: z.ZodType;
  newInput: z.ZodType;
  show(row: object): unknown;
};

const identity = ["organization_id", "id", "created_at"];
const changing = ["deleted_at", "merged_into", "updated_at", "version"];

/** How a text is looked for in a field that is stored in one form. */
function formOf({ stored, normalise, formExample }: Field) {
  if (stored !== "text" || !normalise) return undefined;
  return {
    normalise(text: string) {
      const form = normalise(text);
      return "value" in form ? String(form.value) : null;
    },
    ...(formExample === undefined ? {} : { example: formExample }),
  };
}

/** The columns that hold a field. */
export const columnsOf = (key: string, { stored }: { stored: StoredAs }): string[] => [
  columnOf(key),
  ...(besides[stored] ?? []).map((word) => `${columnOf(key)}_${word}`),
];
const besides: Partial<Record<StoredAs, readonly string[]>> = {
  money: ["currency"],
  anyRef: ["kind", "owner"],
};
/** The column that says whose the record is that a reference to any kind names. */
export const ownerColumnOf = (key: string): string => `${columnOf(key)}_owner`;

/** Whether a field is shown of several columns. */
const isWide = (stored: StoredAs): boolean => stored === "money" || stored === "parts" || stored === "anyRef";
/** The columns that a field is shown of: of parts, those that name the primary ones too. */
const columnsToShow = (key: string, field: Field): string[] => [
  ...columnsOf(key, field),
  ...(field.parts?.primaries ?? []).map((primary) => columnOf(primary.field)),
];

/** The values of a field's columns, of its value. */
export function stored(key: string, field: Field, value: unknown): Record<string, unknown> {
  const column = columnOf(key);
  if (field.parts) return { [column]: keptParts(field.parts, value as Part[]) };
  if (field.stored === "anyRef") {
    const named = value as { kind: string; id: string } | null;
    // whose it is knows the store, see writing/named-owners.ts
    return {
      ...{ [column]: named?.id ?? null, [`${column}_kind`]: named?.kind ?? null },
      [ownerColumnOf(key)]: null,
    };
  }
  if (field.stored !== "money") return { [column]: value };
  const price = value as { amount: string; currency: string } | null;
  return {
    [column]: price && toMinorUnits(price),
    [`${column}_currency`]: price?.currency ?? null,
  };
}
/** The values of a field's columns, of its row. */
export const columnsIn = (
  row: Readonly<Record<string, unknown>>,
  key: string,
  field: Field,
): Record<string, unknown> =>
  Object.fromEntries(columnsOf(key, field).map((column) => [column, row[column]]));
/** The value of a field, of its row. */
export function valueOf(row: Readonly<Record<string, unknown>>, key: string, field: Field): unknown {
  const column = columnOf(key);
  if (field.parts) return wholeParts(field.parts, column, row);
  if (field.stored === "anyRef")
    return row[column] == null ? null : { kind: row[`${column}_kind`], id: row[column] };
  if (field.stored !== "money") return row[column];
  const units = row[column];
  return units == null ? null : fromMinorUnits(units as string, row[`${column}_currency`] as string);
}

/**
 * Makes views. One literal over the row, as rowMaker in mixins/database/round-trip.ts makes rows: a list shows 200 of them,
 * and setting each field by name takes five times as long.
 */
function shower(entries: [string, Field][]): (row: object) => unknown {
  const shown = ["id", ...entries.map(([key]) => key), "createdAt", "updatedAt", "version"];
  const kinds = Object.fromEntries(entries);
  const properties = shown.map((key) => {
    const column = columnOf(key);
    switch (kinds[key]?.stored) {
      case "money":
        return `${key}: r.${column} == null ? null : money(r.${column}, r.${column}_currency)`;
      case "anyRef":
        return `${key}: r.${column} == null ? null : { kind: r.${column}_kind, id: r.${column} }`;
      case "parts":
        return `${key}: parts(fields.${key}.parts, ${JSON.stringify(column)}, r)`;
      case "jsonText":
        return `${key}: typeof r.${column} === "string" ? shared(r.${column}) : r.${column}`;
      default:
        return `${key}: r.${column}`;
    }
  });
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- of names that a kind declares
  const make = new Function(
    "money",
    "shared",
    "parts",
    "fields",
    `return (r) => ({ ${properties.join(", ")} })`,
  );
  const used = [fromMinorUnits, sharedValue, wholeParts, kinds];
  return (make as (...used: unknown[]) => (row: object) => unknown)(...used);
}

/** Makes rows, in the same way. */
function composer(entries: [string, Field][]): unknown {
  const properties = entries.flatMap(([key, { stored: as, fallback = null }]) => {
    const column = columnOf(key);
    if (as === "parts") return [`${column}: i.${key} ? kept(fields.${key}.parts, i.${key}) : []`];
    if (as === "anyRef")
      return [
        `${column}: i.${key} ? i.${key}.id : null`,
        `${column}_kind: i.${key} ? i.${key}.kind : null`,
        `${ownerColumnOf(key)}: null`,
      ];
    return as === "money"
      ? [
          `${column}: i.${key} ? units(i.${key}) : null`,
          `${column}_currency: i.${key} ? i.${key}.currency : null`,
        ]
      : [`${column}: i.${key} ?? ${JSON.stringify(fallback)}`];
  });
  const text = `return (i, o) => ({ organization_id: o.organizationId, id: o.id, created_at: o.now, deleted_at: null, merged_into: null,
    updated_at: o.now, version: 1, ${properties.join(", ")} })`;
  // eslint-disable-next-line @typescript-eslint/no-implied-eval -- of names and fallbacks that a kind declares
  const make = new Function("units", "kept", "fields", text);
  return (make as (...used: unknown[]) => unknown)(toMinorUnits, keptParts, Object.fromEntries(entries));
}

/** Records that may have custom fields. */
export interface CustomKind {
  name: string;
  /** How permissions name it. */
  plural: string;
  table: string;
  /** The field that says whose a record is. */
  owner?: string | undefined;
  /** The columns that do; one of them suffices. */
  owners: readonly string[];
}
