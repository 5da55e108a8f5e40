import type { FieldError } from "../../mixins/contract/errors.ts";
import { short } from "../../mixins/contract/field-errors.ts";
import { sqlOfValue } from "../../mixins/records/conditions/sql.ts";
import type { DefinedKind, DefinedKinds } from "../../mixins/records/custom/defined-kinds.ts";
import { relationsOf } from "../../mixins/records/finding/include.ts";
import { columnOf, prefix, queryableOf, type Values } from "../../mixins/records/finding/listing.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";

export const valueTypes = ["text", "number", "boolean", "date", "timestamp", "money", "id"] as const;
export type ValueType = (typeof valueTypes)[number];

/** A value that a report parts or adds up by. */
export interface ReportField {
  path: string;
  type: ValueType;
  /** The field that refers to what has it, of the report's kind, and the kind of that; `team`: the team of the user named there. */
  via?: { key: string; kind: AnyKind | "team" };
  /** SQL of the value over a row of its table; of money its amount, as stored. */
  sql: (values: Values) => string;
  /** Of money: SQL of the currency, and whether amounts are whole minor units. */
  currency?: (values: Values) => string;
  isMinor?: boolean;
}

const types: Record<string, ValueType> = {
  ...{ text: "text", uuid: "id", integer: "number", number: "number", boolean: "boolean" },
  ...{ timestamp: "timestamp", date: "date", money: "money" },
};

/** The fields of a kind that reports know, by path; those of what it refers to after a point. */
export function reportFields(of: DefinedKind, all: DefinedKinds): Map<string, ReportField> {
  const own = ownFields(of);
  const related = [...relationsOf(of.kind.fields)].flatMap(([relation, { key, kind, part }]) => {
    if (part !== undefined || kind === undefined) return [];
    if (kind === "user") return [teamOf(key, relation)];
    const target = all.get(kind);
    if (!target) return [];
    return ownFields(target).map((field) => ({
      ...field,
      path: `${relation}.${field.path}`,
      via: { key, kind: target.kind },
    }));
  });
  return new Map([...own, ...related].map((field) => [field.path, field]));
}

function ownFields({ kind, custom }: DefinedKind): ReportField[] {
  const declared = Object.entries(kind.listing.fields).flatMap(([path, type]): ReportField[] => {
    const column = columnOf(path);
    if (kind.fields[path]?.stored === "money")
      return [
        { path, type: "money", isMinor: true, sql: () => column, currency: () => `${column}_currency` },
        { path: `${path}.currency`, type: "text", sql: () => `${column}_currency` },
      ];
    const known = types[type];
    return known === undefined ? [] : [{ path, type: known, sql: () => column }];
  });
  const queryable = queryableOf(custom.listing(kind.listing));
  const defined = [...custom.all.values()].flatMap(({ key, isSensitive }): ReportField[] => {
    const path = prefix + key;
    const field = queryable.fieldOf(path);
    const type = field && types[field.type];
    if (isSensitive || field === undefined || type === undefined) return [];
    if (type !== "money")
      return [{ path, type, sql: (values) => sqlOfValue(path, field, queryable, values)[0] }];
    const currency = (values: Values) => sqlOfValue(path, field, queryable, values)[1] ?? "";
    return [
      { path, type, currency, sql: (values) => sqlOfValue(path, field, queryable, values)[0] },
      { path: `${path}.currency`, type: "text", sql: currency },
    ];
  });
  return [...declared, ...defined];
}

/** Of several teams of a user the first by its name. */
const teamOf = (key: string, relation: string): ReportField => ({
  ...{ path: `${relation}.team`, type: "text", via: { key, kind: "team" } },
  sql: () => "name",
});

const calendar: readonly ValueType[] = ["date", "timestamp"];
/** What may be computed of which values. */
const computed: Record<string, readonly ValueType[]> = {
  ...{ sum: ["number", "money"], avg: ["number", "money"] },
  ...{ min: ["number", "money", ...calendar], max: ["number", "money", ...calendar] },
};

interface Said {
  measures: readonly { op: string; field?: string | undefined }[];
  groupBy: readonly { field: string; per?: string | undefined }[];
  period: { field: string } | null;
}
/** What is wrong with the fields that a report names. */
export function problemsOfFields(
  { measures, groupBy, period }: Said,
  fields: ReadonlyMap<string, ReportField>,
): FieldError[] {
  const problems: FieldError[] = [];
  const allowed = (test: (field: ReportField) => boolean) =>
    short([...fields.values()].filter(test).map(({ path }) => path));
  const requireOf = (path: string, name: string, test: (field: ReportField) => boolean, what: string) => {
    const field = fields.get(name);
    if (field && test(field)) return field;
    const [code, message] = field
      ? ["not_allowed", `${name} is a ${field.type}; ${what}`]
      : ["unknown_field", `there is no field ${name} here`];
    problems.push({ path, code, message, ...allowed(test) });
    return undefined;
  };
  for (const [index, { op, field }] of measures.entries())
    if (field !== undefined)
      requireOf(
        `measures.${index}.field`,
        field,
        ({ type }) => computed[op]?.includes(type) ?? true,
        `${op} is of ${computed[op]?.join(", ")}`,
      );
  for (const [index, { field, per }] of groupBy.entries()) {
    requireOf(`groupBy.${index}.field`, field, ({ type }) => type !== "money", "group by its currency");
    if (per !== undefined && fields.has(field))
      requireOf(
        `groupBy.${index}.per`,
        field,
        ({ type }) => calendar.includes(type),
        "per is of times and dates",
      );
  }
  if (period !== null)
    requireOf(
      "period.field",
      period.field,
      ({ type, via }) => calendar.includes(type) && via === undefined,
      "a period is of times and dates of the records themselves",
    );
  return problems;
}
