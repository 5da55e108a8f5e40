import { can, type Principal } from "../../mixins/access/principal.ts";
import { currencyDigits } from "../../mixins/contract/currencies.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { forbidden, invalid, invalidField, type FieldError } from "../../mixins/contract/errors.ts";
import { dayIn } from "../../mixins/contract/time-zone.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { problemsOfView } from "../../mixins/records/finding/views.ts";
import { fromMinorUnits } from "../../mixins/records/kind/fields.ts";
import { definedKinds, type DefinedKinds } from "../../mixins/records/custom/defined-kinds.ts";
import { problemsOfFields, reportFields, type ReportField } from "./fields.ts";
import type { Cell, Column } from "./reports.contract.ts";
import { mostRows, reportStatement, type Asked } from "./statement.ts";

/** A report's question, as its row has it. */
export type Question = Asked & { kind: string };

/** What a process knows of organizations. */
export type Known = Pick<Runtime, "definitions" | "organizations">;
/** How an organization asks: its kinds as it has defined them, and the zone of its days. */
export interface Terms {
  defined: DefinedKinds;
  timeZone: string;
}
/** Before a transaction: both may have to be loaded. */
export async function termsOf(organizationId: string, { definitions, organizations }: Known): Promise<Terms> {
  const { timeZone } = await organizations.of(organizationId);
  return { defined: await definedKinds(organizationId, definitions), timeZone };
}

/** What is wrong with a question: a kind, fields or values that there are not (any more), or that do not fit. */
export function problemsOf(question: Question, defined: DefinedKinds): FieldError[] {
  const of = defined.get(question.kind);
  if (!of)
    return [
      {
        path: "kind",
        code: "unknown_kind",
        message: "is not a kind of record",
        allowed: [...defined.keys()],
      },
    ];
  return [
    ...problemsOfFields(question, reportFields(of, defined)),
    ...problemsOfView(of.kind, of.custom, { condition: question.where }),
  ];
}

/** @throws 403 without the right to read the kind, or one that it asks over a relation */
export function requireReadable(principal: Principal, question: Question, defined: DefinedKinds): void {
  const of = defined.get(question.kind);
  if (!of) return;
  const fields = reportFields(of, defined);
  const named = [...question.groupBy, ...question.measures].flatMap(({ field = "" }) => {
    const via = fields.get(field)?.via?.kind;
    return via === undefined ? [] : [via === "team" ? "teams" : via.plural];
  });
  for (const plural of [of.kind.plural, ...named])
    if (!can(principal, `${plural}:read`)) throw forbidden(`${plural}:read`);
}

/**
 * The answer to a question, about what the principal sees. One statement.
 * @throws 403, 422 for what it names and there is not, for more than 10,000 rows, and for amounts of several currencies in one figure
 */
export async function answer(
  tx: UnitOfWork,
  principal: Principal,
  question: Question,
  { defined, timeZone }: Terms,
): Promise<{ columns: Column[]; rows: Cell[][] }> {
  const problems = problemsOf(question, defined);
  const of = defined.get(question.kind);
  if (problems.length > 0 || !of) throw invalid(problems);
  requireReadable(principal, question, defined);
  const fields = reportFields(of, defined);
  const today = dayIn(timeZone, tx.now);
  const rows = await tx.query<Record<string, string | boolean | number | null>>(
    reportStatement(question, { of, fields, principal, timeZone, today }),
  );
  if (rows.length > mostRows)
    throw invalidField(
      "groupBy",
      "too_many_rows",
      `makes more than ${mostRows} rows; part by less, or ask a shorter period`,
    );
  const columns = columnsOf(question, fields);
  const groups = question.groupBy.length;
  return {
    columns,
    rows: rows.map((row) =>
      columns.map((column, index): Cell => {
        if (index < groups) return row[`g${index}`] ?? null;
        const at = index - groups;
        return figureOf(column, fields.get(column.field ?? ""), row, at);
      }),
    ),
  };
}

function columnsOf({ groupBy, measures }: Asked, fields: ReadonlyMap<string, ReportField>): Column[] {
  return [
    ...groupBy.map(({ field, per }): Column => ({
      key: per === undefined ? field : `${field}.${per}`,
      field,
      ...(per !== undefined && { per }),
      type: per === undefined ? (fields.get(field)?.type ?? "text") : "text",
    })),
    ...measures.map(({ op, field }): Column => {
      const own = field === undefined ? undefined : fields.get(field)?.type;
      return {
        key: field === undefined ? op : `${op}.${field}`,
        ...(field !== undefined && { field }),
        op,
        type: op === "count" ? "number" : (own ?? "number"),
      };
    }),
  ];
}

/** A figure as it is answered: money in its currency, to whose digits averages are rounded. @throws 422 */
function figureOf(
  { op, type }: Column,
  field: ReportField | undefined,
  row: Readonly<Record<string, unknown>>,
  at: number,
): Cell {
  const text = row[`m${at}`] as string | null;
  if (text === null || text === undefined) return null;
  if (op === "count" || type === "number") return Number(text);
  if (type === "timestamp") return new Date(text).toISOString();
  if (type !== "money") return text;
  const [from, to] = [row[`m${at}_from`], row[`m${at}_to`]] as [string, string];
  if (from !== to)
    throw invalidField(
      `measures.${at}`,
      "several_currencies",
      `adds up amounts of ${from} and ${to}; group by ${field?.path}.currency`,
    );
  const digits = field?.isMinor === true ? 0 : (currencyDigits.get(from) ?? 0);
  return fromMinorUnits(rounded(text, digits), from);
}

/** A decimal as a whole number of its smallest units, half up: 2.345 with two digits is 235. */
function rounded(decimal: string, digits: number): string {
  const [whole = "0", fraction = ""] = decimal.split(".");
  const units = BigInt(whole + fraction.slice(0, digits).padEnd(digits, "0"));
  return String((fraction[digits] ?? "0") >= "5" ? units + 1n : units);
}
