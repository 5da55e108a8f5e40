import type { QueryResultRow } from "pg";
import { badQuery, type FieldError } from "../../contract/errors.ts";
import { short } from "../../contract/field-errors.ts";
import type { Principal } from "../../access/principal.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { Condition } from "../conditions/condition.ts";
import type { Fields } from "../conditions/fields.ts";
import { fitCondition } from "../conditions/fit.ts";
import { problemErrors } from "../conditions/schema.ts";
import type { KindFields } from "../custom/definitions.ts";
import type { AnyKind } from "../kind/kind.ts";
import { queryableOf, type ListParams } from "./listing.ts";

/** A list that somebody keeps. */
export interface SavedView extends QueryResultRow {
  id: string;
  /** Of which records it is a list. */
  kind: string;
  name: string;
  condition: Condition | null;
  columns: string[] | null;
  sort: string | null;
  is_shared: boolean;
  owner_id: string | null;
  created_at: string;
  updated_at: string;
  version: number;
}
export const viewColumns =
  "id, kind, name, condition, columns, sort, is_shared, owner_id, created_at, updated_at, version";

/** Who may see a view: whoever it belongs to, and everybody if it is shared. */
export const seesView = ({ userId }: Principal, view: Pick<SavedView, "is_shared" | "owner_id">): boolean =>
  view.is_shared || (userId !== null && view.owner_id === userId);

const custom = "customFields.";
/** What a view may say, of the kind and its custom fields as they are defined. */
type Said = Partial<Pick<SavedView, "condition" | "columns" | "sort">>;

/**
 * What is wrong with what a view says: fields that there are not (any more), values that do not fit them, and sensitive
 * fields, whose values would stand in it for everybody.
 */
export function problemsOfView(
  { listing, fields }: Pick<AnyKind, "listing" | "fields">,
  defined: KindFields,
  { condition = null, columns = null, sort = null }: Said,
): FieldError[] {
  const keys = [...defined.all.keys()].map((key) => custom + key);
  const problems: FieldError[] = [];
  if (condition !== null) {
    const queryable = queryableOf(defined.listing(listing));
    // what nobody has defined is found in lists; to keep it is a slip of the pen
    const declared: Fields = {
      ...queryable,
      fieldOf: (path) =>
        path.startsWith(custom) && !keys.includes(path) ? undefined : queryable.fieldOf(path),
    };
    const { problems: misfits } = fitCondition(declared, condition, { timeZone: "UTC", isToBeKept: true });
    problems.push(...problemErrors(misfits, ["where"]));
  }
  const shown = ["id", "createdAt", "updatedAt", "version", ...Object.keys(fields)].filter(
    (one) => one in listing.fields,
  );
  const unknown = (path: string, value: string, allowed: string[]) =>
    problems.push({
      path,
      code: "unknown_field",
      message: `there is no field ${value} here`,
      ...short(allowed),
    });
  for (const [index, column] of (columns ?? []).entries())
    if (!shown.includes(column) && !keys.includes(column))
      unknown(`columns.${index}`, column, [...shown, ...keys]);
  if (sort !== null && !listing.sortable.includes(sort.replace("-", "")))
    unknown(
      "sort",
      sort,
      listing.sortable.flatMap((field) => [field, `-${field}`]),
    );
  return problems;
}

/** What a list takes of a view. */
export interface ViewOfList {
  condition: Condition | null;
  fields: string[] | undefined;
  sort: string | undefined;
}

/**
 * The view that a list is asked by: one statement. Of one whose fields are gone its columns and its order do without them; without
 * its condition it would show what it is not about.
 * @throws 400 for one that there is not, that the principal may not see, of another kind, or whose condition holds no more
 */
export async function viewOfList(
  tx: Pick<UnitOfWork, "query">,
  principal: Principal,
  kind: AnyKind,
  defined: KindFields,
  id: string,
): Promise<ViewOfList> {
  const [view] = await tx.query<SavedView>({
    name: "view_of_list",
    text: `SELECT ${viewColumns} FROM saved_views WHERE id = $1`,
    values: [id],
  });
  const refuse = (code: string, message: string) => badQuery([{ path: "view", code, message }]);
  if (!view || !seesView(principal, view)) throw refuse("not_found", "There is no such view.");
  if (view.kind !== kind.name)
    throw refuse("invalid_value", `It is a view of another kind of record: ${view.kind}.`);
  const problems = problemsOfView(kind, defined, view);
  const [broken] = problems.filter(({ path }) => path.startsWith("where"));
  if (broken) throw refuse("broken", `The view's condition does not hold any more: ${broken.message}.`);
  const gone = new Set(problems.map(({ path }) => path));
  const columns = view.columns?.filter((_column, index) => !gone.has(`columns.${index}`));
  return {
    condition: view.condition,
    fields: columns && [
      ...new Set(columns.map((column) => (column.startsWith(custom) ? "customFields" : column))),
    ],
    sort: gone.has("sort") ? undefined : (view.sort ?? undefined),
  };
}

/** The parameters of a list, with what a view adds: its condition holds too, its order and columns where none are given. */
export function underView<P extends Pick<ListParams, "fields"> & { sort?: string | undefined }>(
  { listing }: Pick<AnyKind, "listing">,
  params: P,
  view: ViewOfList | undefined,
): Omit<P, "sort"> & { sort: ListParams["sort"]; isRanked: boolean; kept?: Condition } {
  const fields = params.fields ?? view?.fields;
  const sort = params.sort ?? view?.sort;
  const shown = { fields, sort: sort ?? listing.defaultSort, isRanked: sort === undefined };
  return { ...params, ...shown, ...(view?.condition ? { kept: view.condition } : {}) };
}
