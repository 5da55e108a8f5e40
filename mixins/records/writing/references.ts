import { isDeepStrictEqual } from "node:util";
import { invalid, type FieldError } from "../../contract/errors.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { visibleRows } from "../../access/visibility.ts";
import type { Principal } from "../../access/principal.ts";
import type { CallFields } from "../custom/of-call.ts";
import type { Counter } from "./desk.ts";
import { valueOf, type AnyRow } from "../kind/kind.ts";
import { columnOf, Values } from "../finding/listing.ts";
import { anyRefsOf } from "../kind/kinds.ts";
import { noteOwner } from "./named-owners.ts";
import { partsOf, wholeParts, type Part } from "../kind/parts.ts";

/** What of a kind says what it refers to. */
interface Referring {
  kind: Pick<Counter["kind"], "fields">;
  desk: Pick<Counter["desk"], "kinds">;
}
type Input = Readonly<Record<string, unknown>>;
/** What an input refers to by one field. */
type ValuesIn = (input: Input) => { path: string; value: unknown }[];
const idsIn = (inputs: readonly Input[], valuesIn: ValuesIn): string[] =>
  inputs.flatMap(valuesIn).flatMap(({ value }) => (typeof value === "string" ? [value] : []));

/**
 * Looks for the records that inputs refer to: those that are there, are not deleted, and that the principal may see. One statement
 * a field for all of them; none, and no round trip, where they name none. In a transaction that writes they are held.
 * @param before the record that is changed: what it refers to may stay, whatever has become of what they refer to
 * @returns refuses an input, 422 that names each field, when it refers to another one
 */
export async function referencesOf(
  tx: UnitOfWork,
  { kind, desk }: Referring,
  principal: Principal,
  inputs: readonly Input[],
  fields?: CallFields,
  before?: AnyRow,
): Promise<(input: Input) => void> {
  const checks: ((input: Input) => FieldError[])[] = [];
  const own = Object.entries(kind.fields).flatMap(([key, { refersTo }]) => {
    const target = refersTo === undefined ? undefined : desk.kinds.get(refersTo);
    const valuesIn = (input: Input) =>
      input[key] === before?.[columnOf(key)] ? [] : [{ path: key, value: input[key] }];
    const ids = idsIn(inputs, valuesIn);
    return target && ids.length > 0 ? [{ target, ids, valuesIn }] : [];
  });
  const ofParts = partsOf(kind.fields).flatMap(([key, spec]) => {
    const known = before ? wholeParts(spec, columnOf(key), before) : [];
    return Object.entries(spec.of).flatMap(([name, { refersTo }]) => {
      const target = refersTo === undefined ? undefined : desk.kinds.get(refersTo);
      const has = new Set(known.map((part) => part[name]));
      const primaries = spec.primaries.filter(({ value }) => value === name);
      const valuesIn = (input: Input) =>
        ((input[key] ?? []) as Part[]).flatMap((part, index) => {
          // said of the record's own field already
          const isOwn = primaries.some(({ field }) => input[field] === part[name]);
          return has.has(part[name]) || isOwn ? [] : [{ path: `${key}.${index}.${name}`, value: part[name] }];
        });
      const ids = idsIn(inputs, valuesIn);
      return target && ids.length > 0 ? [{ target, ids, valuesIn }] : [];
    });
  });
  const hadCustom = (before?.custom_fields ?? {}) as Input;
  const custom = (fields?.referencesOf(inputs) ?? []).flatMap(({ key, target }) => {
    const valuesIn = ({ customFields }: Input) => {
      const value = (customFields as Input | undefined)?.[key];
      return value === hadCustom[key] ? [] : [{ path: `customFields.${key}`, value }];
    };
    const ids = idsIn(inputs, valuesIn);
    return ids.length > 0 ? [{ target, ids, valuesIn }] : [];
  });
  const ofAnyKind = anyRefsOf(kind).flatMap((key) => {
    const field = kind.fields[key];
    const had = before && field && valueOf(before, key, field);
    const givenIn = (input: Input) =>
      isDeepStrictEqual(input[key], had)
        ? null
        : (input[key] as { kind: string; id: string } | null | undefined);
    const named = inputs.flatMap((input) => givenIn(input) ?? []);
    return [...Map.groupBy(named, (one) => one.kind)].flatMap(([name, those]) => {
      const target = desk.kinds.get(name);
      const valuesIn = (input: Input) => {
        const one = givenIn(input);
        return [{ path: `${key}.id`, value: one?.kind === name ? one.id : null }];
      };
      return target ? [{ target, ids: those.map(({ id }) => id), valuesIn }] : [];
    });
  });
  for (const { target, ids, valuesIn } of [...own, ...ofParts, ...custom, ...ofAnyKind]) {
    const values = new Values();
    const conditions = [
      `id = ANY (${values.add([...new Set(ids)])}::uuid[])`,
      "deleted_at IS NULL",
      ...visibleRows(principal, values, target.owners),
    ];
    // held until the end, in one order: none can be deleted meanwhile, and nobody waits in a circle
    const owner = target.owner === undefined ? "NULL::uuid" : columnOf(target.owner);
    const rows = await tx.query<{ id: string; owner: string | null }>({
      text: `SELECT id, ${owner} AS owner FROM ${target.table} WHERE ${conditions.join(" AND ")} ORDER BY id${tx.scope.readOnly ? "" : " FOR KEY SHARE"}`,
      values: values.list,
    });
    const found = new Set<unknown>(rows.map(({ id }) => id));
    for (const { id, owner: whose } of rows) noteOwner(tx, target.name, id, whose);
    checks.push((input) =>
      valuesIn(input).flatMap(({ path, value }) =>
        typeof value !== "string" || found.has(value)
          ? []
          : [{ path, code: "not_found", message: `is not a ${target.name}` }],
      ),
    );
  }
  return (input) => {
    const problems = checks.flatMap((check) => check(input));
    if (problems.length > 0) throw invalid(problems);
  };
}

/** As `referencesOf`, of one input. @throws 422 that names each field */
export async function requireReferences(
  tx: UnitOfWork,
  counter: Referring,
  principal: Principal,
  input: Input,
  fields?: CallFields,
  before?: AnyRow,
): Promise<void> {
  (await referencesOf(tx, counter, principal, [input], fields, before))(input);
}
