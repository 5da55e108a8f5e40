import {
  noCells,
  seeCell,
  typeOfColumn,
  type ColumnTypes,
  type CustomType,
} from "../../mixins/values/custom-value.ts";
import type { FileRecord } from "./file/records.ts";
import { keyOf } from "./field-keys.rules.ts";
import type { ColumnTargets } from "./mapping.rules.ts";
import { isBlank, meaningOf, objectOf, type FieldTypes } from "./rows.rules.ts";
import type { KindTargets, Reading } from "./targets.ts";
import {
  choiceOf,
  consentOf,
  suggestChoice,
  suggestConsent,
  type Suggestions,
  type ValueMap,
} from "./values.rules.ts";

/** Of a column's own words so many are shown with what they may mean. */
const mostSuggestions = 100;
const longestSuggestion = 100;
/** An address or number, which is of a person: it is kept with the row, and not with the import. */
const telling = /@|(?:\d\D?){7}/;
const mostOwners = 10_000;

/**
 * What a file's columns hold, learned from all of its rows before the first is written: the types of custom fields that nobody
 * has defined, and words that need a meaning. Holds nothing of the rows but that.
 */
export class ColumnSurvey {
  /** What owners are called in the file, so many as an organization may have. */
  readonly owners = new Set<string>();
  readonly #kind: KindTargets;
  readonly #targets: ColumnTargets;
  readonly #values: ValueMap;
  readonly #defined: FieldTypes;
  readonly #columns = new Map<string, ColumnTypes>();
  /** Types of values of customFields as JSON has them; null: of several. */
  readonly #json = new Map<string, CustomType | null>();
  readonly #aside = new Set<string>();
  readonly #words = new Map<string, Map<string, string | boolean | null>>();

  constructor(kind: KindTargets, targets: ColumnTargets, values: ValueMap, defined: FieldTypes) {
    this.#kind = kind;
    this.#targets = targets;
    this.#values = values;
    this.#defined = defined;
  }

  /** Whether there is anything to learn that a run must know. */
  get isNeeded(): boolean {
    return this.#targets.some(([column, target]) => {
      const reading = this.#reading(target);
      if (reading === "user" || target === "customFields") return true;
      const key = reading === "choice" ? keyOf(column) : customKey(target);
      return key !== undefined && !this.#defined.has(key);
    });
  }

  get suggestions(): Suggestions {
    return Object.fromEntries([...this.#words].map(([column, words]) => [column, Object.fromEntries(words)]));
  }

  #reading(target: string | null): Reading | undefined {
    return target === null ? undefined : this.#kind.targets.get(target)?.reading;
  }

  see({ cells, flaw }: FileRecord): void {
    if (flaw !== undefined) return;
    for (const [index, [column, target]] of this.#targets.entries()) {
      if (target === null) continue;
      const cell = meaningOf(cells[index] ?? "", this.#values[column]);
      if (isBlank(cell, target)) continue;
      const key = customKey(target);
      const reading = this.#reading(target);
      if (key !== undefined) this.#seeCustom(key, cell);
      else if (target === "customFields") this.#seeObject(cell);
      else if (reading === "choice") this.#seeChoice(column, target, cell);
      else if (reading === "user" && this.owners.size < mostOwners) this.owners.add(cell.toLowerCase());
      else if (target.startsWith("consent.") && typeof consentOf(cell) === "string")
        this.#suggest(column, cell, suggestConsent);
    }
  }

  /**
   * The fields to define, each with the type that holds all its values.
   * @param isOwner whether a word names a user; others are kept as text
   */
  fields(isOwner: (word: string) => boolean): { key: string; type: CustomType; label: string }[] {
    const labels = new Map(
      this.#targets.flatMap(([column, target]) => [
        [target, column] as const,
        [`customFields.${keyOf(column)}`, column] as const,
      ]),
    );
    const owned = this.#targets.find(([, target]) => this.#reading(target) === "user");
    if (owned && [...this.owners].some((word) => !isOwner(word))) this.#aside.add(keyOf(owned[0]));
    const types = new Map<string, CustomType>([...this.#aside].map((key) => [key, "text"]));
    for (const [key, type] of this.#json) if (type !== null) types.set(key, type);
    for (const [key, column] of this.#columns)
      types.set(key, this.#aside.has(key) ? "text" : typeOfColumn(column));
    return [...types]
      .filter(([key]) => !this.#defined.has(key))
      .map(([key, type]) => ({ key, type, label: labels.get(`customFields.${key}`) ?? key }));
  }

  #seeCustom(key: string, cell: string): void {
    if (this.#defined.has(key)) return;
    let column = this.#columns.get(key);
    if (!column) this.#columns.set(key, (column = noCells()));
    seeCell(column, cell);
  }

  #seeObject(cell: string): void {
    for (const [key, value] of Object.entries(objectOf(cell) ?? {})) {
      const type = ({ string: "text", number: "number", boolean: "boolean" } as const)[
        typeof value as "string"
      ] as CustomType | undefined;
      const known = this.#json.get(key);
      if (type !== undefined) this.#json.set(key, known === undefined || known === type ? type : null);
    }
  }

  #seeChoice(column: string, target: string, cell: string): void {
    const field = this.#kind.targets.get(target)?.field;
    if (field === undefined || choiceOf(field, cell) !== undefined) return;
    this.#aside.add(keyOf(column));
    this.#suggest(column, cell, suggestChoice(field));
  }

  #suggest(column: string, cell: string, meaning: (theirs: string) => string | boolean | null): void {
    let words = this.#words.get(column);
    if (!words) this.#words.set(column, (words = new Map<string, string | boolean | null>()));
    if (
      cell.length > longestSuggestion
      || telling.test(cell)
      || words.size >= mostSuggestions
      || words.has(cell)
    )
      return;
    words.set(cell, meaning(cell));
  }
}

const customKey = (target: string | null): string | undefined =>
  target?.startsWith("customFields.") ? target.slice("customFields.".length) : undefined;
