import type { FieldError } from "../../contract/errors.ts";
import { fieldErrors } from "../../contract/field-errors.ts";
import { newId } from "../../database/new-id.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { normalForm } from "../writing/changes.ts";
import { about } from "../writing/desk.ts";
import { relationOf } from "../finding/include.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { columnOf } from "../finding/listing.ts";
import { storeOf, type Store } from "../writing/store.ts";
import { ImportPlan, type FileRow, type ImportedRecord } from "./import-plan.ts";
import { importKeysOf, soughtKeysOf } from "./keys.ts";
import { matchesOf, type FindMatches } from "./matches.ts";

type Input = Readonly<Record<string, unknown>>;

/** A reference that a file may give by the keys of the record: `company` of `companyId`, by `company.name`. */
export interface Association {
  relation: string;
  /** The field that refers. */
  field: string;
  target: AnyKind;
  /** Keys of the target, the strongest first. */
  keys: readonly string[];
}

/** The references of a kind that imports follow. Not to its own kind: a row would have to wait for another. */
export function associationsOf(kind: AnyKind, kinds: ReadonlyMap<string, AnyKind>): Association[] {
  return Object.entries(kind.fields).flatMap(([field, { refersTo = "", isAssociated }]) => {
    const target = kinds.get(refersTo);
    if (!isAssociated || target === undefined || target.name === kind.name) return [];
    return [{ relation: relationOf(field), field, target, keys: importKeysOf(target) }];
  });
}

/** An association at work. */
interface Side extends Association {
  store: Store;
  find: FindMatches<AnyRow>;
}
export const sidesOf = (kind: AnyKind, kinds: ReadonlyMap<string, AnyKind>): Side[] =>
  associationsOf(kind, kinds).map((one) => ({
    ...one,
    store: storeOf(one.target),
    find: matchesOf(one.target),
  }));

/** What a row says of associated records, by relation, in the form that is stored. */
export type Named = ReadonlyMap<string, Input>;

/** Takes what names associated records off an input; tells what is wrong with it. */
export function splitNamed(
  sides: readonly Association[],
  input: Input,
): { rest: Input; named: Named; problems: FieldError[] } {
  const rest: Record<string, unknown> = { ...input };
  const named = new Map<string, Input>();
  const problems: FieldError[] = [];
  for (const { relation, target } of sides) {
    const given = input[relation];
    delete rest[relation];
    if (given === undefined) continue;
    const parsed = target.newInput.safeParse(given);
    const form = parsed.success
      ? normalForm(target, parsed.data as Input)
      : { input: {}, problems: fieldErrors(parsed.error) };
    problems.push(...form.problems.map((one) => ({ ...one, path: `${relation}.${one.path}` })));
    named.set(relation, form.input);
  }
  return { rest, named, problems };
}

interface PlanOfSide {
  side: Side;
  plan: ImportPlan<AnyRow>;
  /** What external ids of records that were merged are now. */
  merged: ReadonlyMap<unknown, string | null>;
}
type Plans = ReadonlyMap<string, PlanOfSide>;
const withExternalIdOfNow = (input: Input, merged: PlanOfSide["merged"]): Input =>
  merged.has(input.externalId) ? { ...input, externalId: merged.get(input.externalId) } : input;

/** The records that a batch names by their keys: found, or to be made with it. */
export class Associates {
  readonly #plans: Plans;

  private constructor(plans: Plans) {
    this.#plans = plans;
  }

  /** In two statements a reference, and none where no row names any. What is found cannot be deleted until the end. */
  static async of(
    tx: Pick<UnitOfWork, "organizationId" | "now" | "queryWithin">,
    sides: readonly Side[],
    rows: readonly Named[],
  ): Promise<Associates> {
    const plans = new Map<string, PlanOfSide>();
    for (const side of sides) {
      const given = rows.map((row) => row.get(side.relation)).filter((one) => one !== undefined);
      if (given.length === 0) continue;
      const merged = await side.store.mergedExternalIds(tx as UnitOfWork, given);
      const named = given.map((one) => withExternalIdOfNow(one, merged));
      const matching = { onDuplicate: "skip", matchBy: side.keys } as const;
      const sought = soughtKeysOf(side.target, named, matching);
      const { rows: found } = await side.find(tx as UnitOfWork, sought, { lock: "reference", isWhole: true });
      const { organizationId, now } = tx;
      const rules = { ...matching, kind: side.target, organizationId, now: now.toISOString() };
      plans.set(side.relation, { side, merged, plan: new ImportPlan<AnyRow>(rules, found) });
    }
    return new Associates(plans);
  }

  /**
   * The input with the ids of what it names. One that is named by its id, and is there, stays.
   * @param owner whose the record is: what is made for it is theirs too
   */
  resolve(from: FileRow, named: Named, input: Input, owner: unknown): Input {
    const ids: Record<string, string> = {};
    for (const [relation, given] of named) {
      const known = this.#plans.get(relation);
      if (known === undefined || typeof input[known.side.field] === "string") continue;
      const { side, plan, merged } = known;
      const own = side.target.owner === undefined ? {} : { [columnOf(side.target.owner)]: owner ?? null };
      ids[side.field] = plan.resolve(from, {
        input: withExternalIdOfNow(given, merged),
        id: newId(),
        own,
      }).row.id;
    }
    return Object.keys(ids).length === 0 ? input : { ...input, ...ids };
  }

  /** Those to be made that any of these rows refers to: what was named for a refused row alone is none. */
  wanted(rows: readonly AnyRow[]): { target: AnyKind; store: Store; records: ImportedRecord[] }[] {
    return [...this.#plans.values()].flatMap(({ side, plan }) => {
      const used = new Set(rows.map((row) => row[columnOf(side.field)]));
      const records = plan.created().filter(({ row }) => used.has(row.id));
      return records.length === 0 ? [] : [{ ...side, records }];
    });
  }
}

/** Makes associated records now: what refers to them follows. Answers whether all of them could be made. */
export async function makeAssociates(
  tx: UnitOfWork,
  wanted: ReturnType<Associates["wanted"]>,
  actorId: string | null,
): Promise<boolean> {
  for (const { target, store, records } of wanted) {
    const rows = records.map(({ row }) => row);
    const inserted = await store.insertFree(tx, rows);
    if (inserted.size < rows.length) return false;
    for (const row of rows) about(tx, { kind: target, verb: "created", row, actorId });
  }
  return true;
}
