import { composeRecord, changeRecord, type Change } from "../writing/changes.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { columnOf } from "../finding/listing.ts";
import { externalIdTaken } from "../writing/store.ts";
import { importKeysOf, keyName, textIn, textOf, type Matching } from "./keys.ts";

type Input = Readonly<Record<string, unknown>>;

/** A row of the file, as the file of rejected rows shows it. */
export interface FileRow {
  rowNumber: number;
  record: Record<string, string>;
}

/** A record that an import makes or changes. */
export interface ImportedRecord<R extends AnyRow = AnyRow> {
  row: R;
  /** As it was stored before; null for a new one. */
  before: R | null;
  isChanged: boolean;
  /** The rows of the file that went into it. */
  from: FileRow[];
}

/** What a row of the file says of a record. */
export interface RowInput {
  input: Input;
  /** Of the record, if the row makes one. */
  id: string;
  /** What only a new record gets, as columns. */
  own?: Partial<AnyRow>;
}

/** How a plan makes and changes records. */
export interface PlanRules<R extends AnyRow> extends Matching {
  kind: AnyKind;
  organizationId: string;
  now: string;
  /** Columns of every record that it writes. */
  marks?: Partial<AnyRow>;
  /** Pure. @throws 409 when the record may not change so */
  decide?: ((before: R, change: Change<R>) => Change<R>) | undefined;
}

/** What the rows of a batch make of the records, row by row: a later row sees what the earlier ones did. */
export class ImportPlan<R extends AnyRow> {
  readonly counts = { created: 0, updated: 0, skipped: 0 };
  readonly #rules: PlanRules<R>;
  readonly #keys: readonly string[];
  readonly #matchBy: readonly string[];
  readonly #byKey = new Map<string, ImportedRecord<R>[]>();
  readonly #records: ImportedRecord<R>[] = [];

  /** @param matches stored records that share a key with the batch */
  constructor(rules: PlanRules<R>, matches: readonly R[]) {
    this.#rules = rules;
    this.#keys = importKeysOf(rules.kind);
    this.#matchBy = this.#keys.filter((key) => rules.matchBy.includes(key));
    for (const row of matches) this.#add({ row, before: row, isChanged: false, from: [] });
  }

  /**
   * @param finish completes the input of a row that is not skipped, for the record that it makes or changes
   * @returns why the row was skipped, if so
   * @throws 409 EXTERNAL_ID_TAKEN; what `finish` and the kind's rules throw: nothing of the row is done then
   */
  take(
    from: FileRow,
    { input, id, own }: RowInput,
    finish: (input: Input, record: { id: string; own?: Partial<AnyRow> | undefined }) => Input = (whole) =>
      whole,
  ): string | undefined {
    const { kind, onDuplicate } = this.#rules;
    const found = this.#find(input);
    if (!found || onDuplicate === "create") {
      const externalId = textIn(input, "externalId");
      if (externalId !== null && this.#byKey.has(keyName(kind, "externalId", externalId)))
        throw externalIdTaken(kind);
      const row = composeRecord<R>(kind, finish(input, { id, own }), { id, ...this.#rules });
      this.#add({
        row: { ...row, ...own, ...this.#rules.marks },
        ...{ before: null, isChanged: false, from: [from] },
      });
      this.counts.created++;
    } else if (onDuplicate === "skip") {
      this.counts.skipped++;
      const { record, key } = found;
      const whose = record.before ? `the ${kind.name} ${record.row.id}` : `row ${record.from[0]?.rowNumber}`;
      return `skipped: ${whose} has this ${key}`;
    } else this.#update(found.record, from, finish(input, found.record.row));
    return undefined;
  }

  /** The record that an input names by its keys, or that it makes. What the batch makes itself gets the keys that it lacks. */
  resolve(from: FileRow, given: RowInput): ImportedRecord<R> {
    const found = this.#find(given.input)?.record;
    if (found?.before === null) {
      const { kind, now } = this.#rules;
      const lacking = this.#keys.filter((key) => textOf(found.row, key) === null);
      const more = Object.fromEntries(lacking.map((key) => [key, textIn(given.input, key)]));
      const change = changeRecord(kind, found.row, more, now);
      found.row = change ? { ...change.row, version: found.row.version } : found.row;
      this.#index(found);
    }
    if (found) return found;
    this.take(from, given);
    return this.#records.at(-1) as ImportedRecord<R>;
  }

  created(): ImportedRecord<R>[] {
    return this.#records.filter(({ before }) => before === null);
  }

  /** Stored records that differ now. */
  changed(): ImportedRecord<R>[] {
    return this.#records.filter(({ before, isChanged }) => before !== null && isChanged);
  }

  /** Takes a record back that could not be stored; answers the rows that went into it. */
  withdraw({ from, before }: ImportedRecord<R>): FileRow[] {
    if (before === null) this.counts.created--;
    this.counts.updated -= before === null ? from.length - 1 : from.length;
    return from;
  }

  /** By the strongest key first; a weaker one finds nobody whom a stronger one tells apart. */
  #find(input: Input): { record: ImportedRecord<R>; key: string } | undefined {
    for (const key of this.#matchBy) {
      const value = textIn(input, key);
      if (value === null) continue;
      const stronger = this.#keys.slice(0, this.#keys.indexOf(key));
      const record = this.#byKey
        .get(keyName(this.#rules.kind, key, value))
        ?.find(({ row }) => stronger.every((other) => agree(textIn(input, other), textOf(row, other))));
      if (record) return { record, key };
    }
    return undefined;
  }

  #update(record: ImportedRecord<R>, from: FileRow, input: Input): void {
    const { kind, now, marks, decide } = this.#rules;
    const wished = changeRecord(kind, record.row, withParts(kind, record.row, input), now);
    const change = wished && (decide?.(record.row, wished) ?? wished);
    record.from.push(from);
    this.counts.updated++;
    if (!change) return;
    // several rows may change one record: stored once, it has one new version
    record.row = { ...change.row, ...marks, version: (record.before?.version ?? 0) + 1 };
    record.isChanged = true;
    this.#index(record);
  }

  #add(record: ImportedRecord<R>): void {
    this.#records.push(record);
    this.#index(record);
  }

  #index(record: ImportedRecord<R>): void {
    for (const key of this.#keys) {
      const value = textOf(record.row, key);
      if (value === null) continue;
      const name = keyName(this.#rules.kind, key, value);
      const holders = this.#byKey.get(name);
      if (!holders) this.#byKey.set(name, [record]);
      else if (!holders.includes(record)) holders.push(record);
    }
  }
}

/** A file may give a part of an object, such as the city of an address: the other parts stay. */
function withParts({ fields }: AnyKind, row: AnyRow, input: Input): Input {
  const whole: Record<string, unknown> = {};
  for (const [key, { stored, merge }] of Object.entries(fields))
    if (stored === "json" && merge === undefined && typeof input[key] === "object" && input[key] !== null)
      whole[key] = { ...(row[columnOf(key)] as object), ...input[key] };
  return { ...input, ...whole };
}

/** Whether two may be of one record, by this key: one says nothing, or both the same. */
const agree = (a: string | null, b: string | null): boolean => !a || !b || a === b;
