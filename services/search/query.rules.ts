import { badQuery, type FieldError } from "../../mixins/contract/errors.ts";
import { short } from "../../mixins/contract/field-errors.ts";
import type { Test } from "../../mixins/records/conditions/condition.ts";
import { fitTest } from "../../mixins/records/conditions/fit.ts";
import { queryableOf, type FilterTest } from "../../mixins/records/finding/listing.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";

/** A filter in what is looked for: `status:new`. */
interface Given {
  key: string;
  value: string;
}
/** What is looked for, as each kind is asked; kinds that lack what a filter asks for are left out. */
export interface Asked {
  kind: AnyKind;
  words: string;
  filter: Record<string, FilterTest>;
}
/** What filters know besides the fields of records. */
export interface Known {
  userId: string | null;
  timeZone: string;
  /** Ids of the stages that are called so, or of this kind (`won`). */
  stagesOf(name: string): readonly string[];
}

const filterText = /(?<=^|\s)([A-Za-z][\w.]*):(?:"([^"]*)"|(\S+))/g;

/** Whether some filter of what is looked for names a stage. */
export const namesStage = (q: string): boolean => /(?:^|\s)stage:/i.test(q);

/**
 * Reads `owner:me stage:won rao`. What has the form of a filter and names no field of any kind is looked for as words.
 * @throws 400 where a filter fits none of the kinds that have it
 */
export function readQuery(q: string, kinds: readonly AnyKind[], known: Known): Asked[] {
  const filters: Given[] = [];
  const words = q
    .replaceAll(filterText, (text, key: string, quoted: string | undefined, plain: string | undefined) => {
      if (!kinds.some((kind) => testOf(kind, { key, value: "" }, known))) return text;
      filters.push({ key, value: quoted ?? plain ?? "" });
      return " ";
    })
    .replaceAll(/\s+/g, " ")
    .trim();
  let asked = kinds.map((kind): Asked => ({ kind, words, filter: {} }));
  for (const given of filters) {
    let problem: FieldError | undefined;
    asked = asked.flatMap(({ filter, ...one }) => {
      const test = testOf(one.kind, given, known);
      if (test === undefined) return [];
      if ("path" in test) {
        problem = test;
        return [];
      }
      return [{ ...one, filter: { ...filter, [test.field]: { [test.op]: test.value } } }];
    });
    if (asked.length === 0 && problem) throw badQuery([problem]);
  }
  return asked;
}

/** The test that a filter is of a kind; what is wrong with it; or undefined, where the kind has no such thing. */
function testOf(kind: AnyKind, { key, value }: Given, known: Known): Test | FieldError | undefined {
  const small = key.toLowerCase();
  const wrong = (message: string, allowed: readonly string[] = []): FieldError => ({
    ...{ path: "q", code: "invalid_value", message: `${key}: ${message}` },
    ...short(allowed),
  });
  if (small === "kind")
    return kind.name === value || value === "" ? { field: "id", op: "isnull", value: false } : undefined;
  const field = fieldOf(kind, small);
  if (field === undefined) return undefined;
  if (small === "stage") {
    const ids = known.stagesOf(value);
    if (ids.length > 0 || value === "") return { field, op: "in", value: [...ids] };
    return wrong("there is no such stage");
  }
  if (small === "owner" && value === "none") return { field, op: "isnull", value: true };
  const own = small === "owner" && value === "me" ? (known.userId ?? "") : value;
  const test = { field, op: kind.listing.fields[field] === "text[]" ? "contains" : "eq", value: own } as Test;
  if (value === "") return test;
  const fitted = fitTest(queryableOf(kind.listing), test, { timeZone: known.timeZone });
  if (!("reason" in fitted)) return test;
  return wrong(small === "owner" ? "must be me, none or the id of a user" : fitted.reason, fitted.allowed);
}

function fieldOf({ listing, owner }: AnyKind, small: string): string | undefined {
  if (small === "owner") return owner;
  if (small === "stage") return listing.filterable.includes("stageId") ? "stageId" : undefined;
  if (small === "tag") return listing.filterable.includes("tags") ? "tags" : undefined;
  return listing.filterable.find((field) => field.toLowerCase() === small);
}
