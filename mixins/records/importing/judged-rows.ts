import { v7 as uuidv7 } from "uuid";
import type { FieldError } from "../../contract/errors.ts";
import { fieldErrors } from "../../contract/field-errors.ts";
import { emailMark, phoneMark } from "../../privacy/personal-data.ts";
import { phoneForms } from "../../values/phone.ts";
import { withoutGuarded } from "../kind/part-rights.ts";
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

/** A row with its input when that is valid, else with the reason why not. */
export function judge(
  { rowNumber, record, input, error, notes = [] }: ImportRow,
  {
    kind,
    read,
    sides,
    isGuardedGiven,
  }: {
    kind: AnyKind;
    isGuardedGiven: boolean;
    read: ImportReader<AnyRow>;
    sides: readonly Association[];
  },
): Judged {
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
  if (valid === undefined || wrong.length > 0) return rejected(sentenceOf(wrong));
  return { ...known, notes: [...notes, ...ofInput], input: valid, reason: "", own, named };
}

/** Inputs of the rows that are not refused. */
export const inputsOf = (rows: readonly Judged[]): Input[] =>
  rows.map(({ input }) => input).filter((input) => input !== undefined);

/** Takes a field off the input of a row, and tells of it. */
export function leaveOut(row: Judged, field: string, why: string): void {
  const { [field]: _left, ...rest } = row.input ?? {};
  row.input = rest;
  row.notes = [...row.notes, `${field}: ${why}`];
}

/** Leaves out of a row what refers to a record that is not there. */
export function leaveOutReferences(row: Judged, refers: (input: Input) => void): void {
  try {
    if (row.input) refers(row.input);
  } catch (error) {
    const { data } = error as { data?: { errors?: FieldError[] } };
    if (data?.errors === undefined) throw error;
    for (const { path, message } of data.errors) {
      const key = path.startsWith("customFields.") ? path.slice("customFields.".length) : undefined;
      if (key === undefined) leaveOut(row, path, message);
      else {
        const { [key]: _left, ...rest } = row.input?.customFields as Input;
        row.input = { ...row.input, customFields: rest };
        row.notes = [...row.notes, `${path}: ${message}`];
      }
    }
  }
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
