import { isDeepStrictEqual } from "node:util";
import { v7 as uuidv7 } from "uuid";
import type { FieldError } from "../../contract/errors.ts";
import { fieldErrors } from "../../contract/field-errors.ts";
import { emailMark, phoneMark } from "../../privacy/personal-data.ts";
import { phoneForms } from "../../values/phone.ts";
import { withoutGuarded } from "../kind/part-rights.ts";
import { partsOf, type Part } from "../kind/parts.ts";
import { normalForm } from "../writing/changes.ts";
import type { ImportReader } from "../writing/desk.ts";
import type { CallFields } from "../custom/of-call.ts";
import type { Apart } from "../custom/values-apart.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { splitNamed, type Association, type Named } from "./associations.ts";
import { textIn } from "./keys.ts";

type Input = Readonly<Record<string, unknown>>;

/** One row of a file, read. */
export interface ImportRow {
  rowNumber: number;
  input?: unknown;
  record: Record<string, string>;
  error?: string | undefined;
  notes?: string[] | undefined;
}
/** A row, judged by itself. */
export interface Judged {
  /** Of its record, if it makes one. */
  id: string;
  rowNumber: number;
  record: Record<string, string>;
  notes: string[];
  /** Undefined where the row is refused. */
  input: Input | undefined;
  /** Why it is refused. */
  reason: string;
  /** What only a new record gets. */
  own?: Partial<AnyRow> | undefined;
  /** Associated records that it names by their keys. */
  named: Named;
  apart: Apart;
  /** Of whom it may be, to find persons who were erased. */
  hashes: Buffer[];
}

const nothing: Apart = new Map();

/** By what a row is judged. */
interface Judging {
  kind: AnyKind;
  isGuardedGiven: boolean;
  read: ImportReader<AnyRow>;
  sides: readonly Association[];
}

/** A row with its input when that is valid, what does not fit left out of it; else with the reason why not. */
export function judge(row: ImportRow, judging: Judging): Judged {
  const { rowNumber, record, input, error, notes = [] } = row;
  const { kind, read, sides, isGuardedGiven } = judging;
  const known = { id: uuidv7(), rowNumber, record, notes, named: new Map(), apart: nothing, hashes: [] };
  const rejected = (reason: string): Judged => ({ ...known, input: undefined, reason });
  if (error !== undefined) return rejected(error);
  if (typeof input !== "object" || input === null) return rejected("The row is no object.");
  const { rest, named, problems: ofNamed } = splitNamed(sides, input as Input);
  const { input: fields, own, problems: ofRead = [], notes: ofInput = [] } = read(rest);
  const parsed = kind.newInput.safeParse(fields);
  const { input: valid, problems } = parsed.success
    ? normalForm(kind, isGuardedGiven ? (parsed.data as Input) : withoutGuarded(kind, parsed.data as Input))
    : { input: undefined, problems: fieldErrors(parsed.error) };
  const wrong = [...ofRead, ...problems, ...ofNamed];
  if (valid === undefined || wrong.length > 0) {
    // which record it is about must be sure, and what is wrong with the row as a whole stands nowhere
    const isRefused = ofRead.length > 0 || wrong.some(({ path }) => path === "" || path === "externalId");
    const fitting = isRefused ? input : withoutAll(input as Input, wrong);
    if (isDeepStrictEqual(fitting, input)) return rejected(sentenceOf(wrong));
    const said = wrong.map(({ path, message }) => `${path}: ${message}`);
    return judge({ ...row, input: fitting, notes: [...notes, ...said] }, judging);
  }
  return { ...known, notes: [...notes, ...ofInput], input: valid, reason: "", own, named };
}

/** An input without what problems name. */
function withoutAll(input: Input, problems: readonly FieldError[]): Input {
  const paths = problems.map(({ path }) => {
    const [field = "", place] = path.split(".");
    return Array.isArray(input[field]) && place !== undefined ? `${field}.${place}` : path;
  });
  // the last first: the places of the others stay
  return [...new Set(paths)].reduceRight(without, input);
}

/** Inputs of the rows that are not refused. */
export const inputsOf = (rows: readonly Judged[]): Input[] =>
  rows.map(({ input }) => input).filter((input) => input !== undefined);

/** Takes a field, a custom field (`customFields.city`) or a part (`companies.1.companyId`) off the input of a row, and tells of it. */
export function leaveOut(row: Judged, path: string, why: string): void {
  row.input = without(row.input ?? {}, path);
  row.notes = [...row.notes, `${path}: ${why}`];
}

/** An input without what a path names. Of a list a part is taken, and the list where none is left: it says nothing then. */
function without(input: Input, path: string): Input {
  const [field = "", ...inner] = path.split(".");
  const { [field]: value, ...rest } = input;
  if (Array.isArray(value) && inner.length > 0) {
    const left = value.filter((_, index) => index !== Number(inner[0]));
    return left.length === 0 ? rest : { ...rest, [field]: left };
  }
  if (inner.length === 0 || typeof value !== "object" || value === null) return rest;
  const { [inner.join(".")]: _left, ...others } = value as Input;
  return { ...rest, [field]: others };
}

/** Leaves out of a row what refers to a record that is not there. */
export function leaveOutReferences(row: Judged, kind: AnyKind, refers: (input: Input) => void): void {
  try {
    if (row.input) refers(row.input);
  } catch (error) {
    const { data } = error as { data?: { errors?: FieldError[] } };
    if (data?.errors === undefined) throw error;
    const given = row.input as Input;
    row.input = withoutAll(given, data.errors);
    row.notes = [...row.notes, ...data.errors.map(({ path, message }) => `${path}: ${message}`)];
    // what a field says of the record may stand in a list of parts too
    for (const { path } of data.errors) row.input = withoutPrimary(kind, row.input, path, given[path]);
  }
}

function withoutPrimary({ fields }: AnyKind, input: Input, field: string, value: unknown): Input {
  let left = input;
  for (const [key, { primaries }] of partsOf(fields))
    for (const primary of primaries.filter((one) => one.field === field)) {
      const parts = (left[key] ?? []) as Part[];
      const place = parts.findIndex((part) => part[primary.value] === value);
      if (place >= 0) left = without(left, `${key}.${place}`);
    }
  return left;
}

/** What does not fit the definitions of custom fields is left out of a row, and told of. */
export function fitCustomFields(row: Judged, fields: CallFields): void {
  if (row.input === undefined) return;
  const { input, apart, problems } = fields.acceptFitting(row.input);
  row.input = input;
  row.apart = apart;
  row.notes = [...row.notes, ...problems.map(({ path, message }) => `${path}: ${message}`)];
}

/** Marks of the persons that an input of a kind may be of. */
export function markedFields({ fields }: AnyKind): (input: Input) => string[] {
  const known = (as: "email" | "phone") =>
    Object.entries(fields).flatMap(([key, { personal }]) => (personal === as ? [key] : []));
  const [emails, phones] = [known("email"), known("phone")];
  const textsOf = (input: Input, keys: string[]) => keys.flatMap((key) => textIn(input, key) ?? []);
  return (input) => [
    ...textsOf(input, emails).map(emailMark),
    ...textsOf(input, phones).flatMap((phone) => phoneForms(phone).map(phoneMark)),
  ];
}

/** What is wrong, as the report says it. */
export const sentenceOf = (problems: readonly FieldError[]): string =>
  problems.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; ");
