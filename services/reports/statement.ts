import type { Group, Measure, Period } from "../../entities/report.ts";
import type { Principal } from "../../mixins/access/principal.ts";
import { instantIn, localDaySql, offsetsOf } from "../../mixins/contract/time-zone.ts";
import type { Statement } from "../../mixins/database/statement.ts";
import type { Condition } from "../../mixins/records/conditions/condition.ts";
import { columnOf, allMatching, matchConditions, Values } from "../../mixins/records/finding/listing.ts";
import { visibleTo } from "../../mixins/records/handlers/crud.ts";
import type { DefinedKind } from "../../mixins/records/custom/defined-kinds.ts";
import type { ReportField } from "./fields.ts";
import { daysOf } from "./period.ts";

/** What a report asks of records of a kind. Its fields are there, and fit. */
export interface Asked {
  measures: readonly Measure[];
  groupBy: readonly Group[];
  where: Condition | null;
  period: Period | null;
}
export interface Asking {
  of: DefinedKind;
  fields: ReadonlyMap<string, ReportField>;
  principal: Principal;
  timeZone: string;
  /** YYYY-MM-DD, in that zone. */
  today: string;
}

/** Rows of a report; more would be read by nobody. */
export const mostRows = 10_000;

/**
 * One statement that answers a report: columns `g0`, `g1`… by which it parts the records that the principal sees, in their order, and
 * of each measure `m0`, of money with `m0_from` and `m0_to`, the first and last of its currencies. What a record refers to is read
 * as far as the principal sees it.
 */
export function reportStatement({ measures, groupBy, where, period }: Asked, asking: Asking): Statement {
  const { of, fields, principal, timeZone } = asking;
  const values = new Values();
  const matching = matchConditions(
    of.custom.listing(of.kind.listing),
    where === null ? {} : { kept: where },
    values,
    timeZone,
  );
  const chosen = [
    ...visibleTo(of, principal)(values),
    ...allMatching(matching),
    ...(period === null ? [] : within(fieldOf(fields, period.field), period, asking, values)),
  ];
  const sources = new Sources(principal, values);
  const groups = groupBy.map(({ field: path, per }, index) => {
    const field = fieldOf(fields, path);
    const value = sources.valueOf(field);
    return `${per === undefined ? value : spanSql(value, field, per, timeZone, values)} AS g${index}`;
  });
  const figures = measures.flatMap(({ op, field: path }, index) => {
    if (path === undefined) return [`count(*)::text AS m${index}`];
    const field = fieldOf(fields, path);
    const value = sources.valueOf(field);
    const figure = `${op}(${value})::text AS m${index}`;
    if (op === "count" || field.currency === undefined) return [figure];
    const currency = sources.currencyOf(field);
    return [figure, `min(${currency}) AS m${index}_from`, `max(${currency}) AS m${index}_to`];
  });
  const places = groupBy.map((_, index) => String(index + 1));
  const order = groupBy.map(({ field, per }, index) => {
    const isText = per === undefined && fieldOf(fields, field).type === "text";
    return `g${index}${isText ? ' COLLATE "und-x-icu"' : ""} NULLS LAST`;
  });
  const grouped = groupBy.length === 0 ? "" : `GROUP BY ${places.join(", ")}`;
  return {
    text: `SELECT * FROM (SELECT ${[...groups, ...figures].join(", ")}
        FROM (SELECT ${sources.columns()} FROM ${of.kind.plural} WHERE ${chosen.join(" AND ")}) AS own
        ${sources.joins()} ${grouped}) AS answered
      ${order.length === 0 ? "" : `ORDER BY ${order.join(", ")}`} LIMIT ${mostRows + 1}`,
    values: values.list,
  };
}

const fieldOf = (fields: ReadonlyMap<string, ReportField>, path: string): ReportField =>
  fields.get(path) as ReportField;

/** The values that are read of the records, and of each thing that they refer to. */
class Sources {
  readonly #principal: Principal;
  readonly #values: Values;
  readonly #own = new Map<string, string>();
  readonly #related = new Map<string, { of: ReportField["via"]; columns: Map<string, string> }>();

  constructor(principal: Principal, values: Values) {
    this.#principal = principal;
    this.#values = values;
  }

  valueOf(field: ReportField): string {
    return this.#read(field, field.path, field.sql);
  }

  currencyOf(field: ReportField): string {
    return this.#read(field, `${field.path} currency`, field.currency ?? field.sql);
  }

  columns(): string {
    const keys = [...this.#related.values()].map(({ of }) => columnOf(of?.key ?? ""));
    const own = [...this.#own.entries()].map(([name, sql]) => `${sql} AS ${name}`);
    return [...new Set(keys), ...own].join(", ");
  }

  joins(): string {
    return [...this.#related.entries()]
      .map(([name, { of, columns }]) => this.#join(name, of, columns))
      .join("\n");
  }

  #read({ via }: ReportField, of: string, sql: (values: Values) => string): string {
    const place = via === undefined ? undefined : this.#place(via);
    const columns = place?.columns ?? this.#own;
    const name = this.#names.get(of) ?? `c${this.#names.size}`;
    this.#names.set(of, name);
    if (!columns.has(name)) columns.set(name, sql(this.#values));
    return `${place?.name ?? "own"}.${name}`;
  }
  readonly #names = new Map<string, string>();

  #place(via: NonNullable<ReportField["via"]>) {
    const name = `of_${columnOf(via.key)}${via.kind === "team" ? "_team" : ""}`;
    const known = this.#related.get(name) ?? { of: via, columns: new Map<string, string>() };
    this.#related.set(name, known);
    return { name, columns: known.columns };
  }

  #join(name: string, via: ReportField["via"], columns: ReadonlyMap<string, string>): string {
    const key = `own.${columnOf(via?.key ?? "")}`;
    const shown = [...columns].map(([column, sql]) => `${sql} AS ${column}`).join(", ");
    if (via === undefined || via.kind === "team")
      return `LEFT JOIN LATERAL (SELECT ${shown} FROM teams WHERE ${key} = ANY (member_ids || manager_ids)
        ORDER BY name, id LIMIT 1) AS ${name} ON true`;
    const seen = visibleTo({ kind: via.kind }, this.#principal)(this.#values);
    return `LEFT JOIN (SELECT id, ${shown} FROM ${via.kind.plural} WHERE ${seen.join(" AND ")}) AS ${name}
      ON ${name}.id = ${key}`;
  }
}

/** What a field must be to lie in a period, by an index where its column has one. */
function within(field: ReportField, period: Period, { timeZone, today }: Asking, values: Values): string[] {
  const { from, to } = daysOf(period, today);
  const value = `(${field.sql(values)})`;
  if (field.type === "date")
    return [
      ...(from === undefined ? [] : [`${value} >= ${values.add(from)}::date`]),
      ...(to === undefined ? [] : [`${value} <= ${values.add(to)}::date`]),
    ];
  const instant = (day: string, days = 0) =>
    values.add(new Date(instantIn(timeZone, Date.parse(day) + days * 86_400_000)).toISOString());
  return [
    ...(from === undefined ? [] : [`${value} >= ${instant(from)}::timestamptz`]),
    ...(to === undefined ? [] : [`${value} < ${instant(to, 1)}::timestamptz`]),
  ];
}

const forms = { day: "YYYY-MM-DD", week: 'IYYY-"W"IW', month: "YYYY-MM", quarter: 'YYYY-"Q"Q', year: "YYYY" };
/** The day, week, month, quarter or year that a time is in: `2026-11-29`, `2026-W48`, `2026-11`, `2026-Q4`, `2026`. */
function spanSql(
  value: string,
  { type }: ReportField,
  per: keyof typeof forms,
  timeZone: string,
  values: Values,
): string {
  const { from, seconds } = offsetsOf(timeZone);
  const day = type === "date" ? value : localDaySql(value, values.add(from), values.add(seconds));
  return `to_char(${day}, '${forms[per]}')`;
}
