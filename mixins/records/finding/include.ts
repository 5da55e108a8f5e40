import { z } from "zod";
import { can } from "../../access/principal.ts";
import { visibleRows } from "../../access/visibility.ts";
import { appError, forbidden } from "../../contract/errors.ts";
import { pageBytes } from "../../database/statement.ts";
import { CallFields } from "../custom/of-call.ts";
import type { RecordContext, RecordDesk } from "../writing/desk.ts";
import type { AnyKind, Fields, included } from "../kind/kind.ts";
import { Values } from "./listing.ts";
import type { Part } from "../kind/parts.ts";

export type Included = z.output<typeof included>;

export interface Relation {
  key: string;
  /** Undefined: each names its own. */
  kind?: string;
  /** Of a list of parts: their field that refers. */
  part?: string;
}
/** `companyId` is the relation `company`; a user's is called as its field, and what parts refer to as their list. */
export const relationOf = (key: string): string => key.replace(/Id$/, "");
/** What records of a kind refer to, by the name of the relation. */
export const relationsOf = (fields: Fields): Map<string, Relation> =>
  new Map(
    Object.entries(fields).flatMap(
      ([key, { refersTo, isUser = false, parts, stored }]): [string, Relation][] => {
        if (stored === "anyRef") return [[key, { key }]];
        if (refersTo !== undefined || isUser) return [[relationOf(key), { key, kind: refersTo ?? "user" }]];
        const part = Object.entries(parts?.of ?? {}).find(([, of]) => of.refersTo !== undefined);
        return part ? [[key, { key, kind: part[1].refersTo ?? "", part: part[0] }]] : [];
      },
    ),
  );

/** `include=company,assignedTo`: what comes along of what the records refer to. */
export function includeParam({ fields }: { fields: Fields }) {
  const names = [...relationsOf(fields).keys()];
  return z
    .union([z.string().transform((list) => list.split(",")), z.array(z.string())])
    .pipe(z.array(z.enum(names)).min(1))
    .optional();
}

const tooLarge = () =>
  appError(
    422,
    "INCLUDED_TOO_LARGE",
    "What these records refer to is too large for one answer; ask for fewer at once (limit), or without include.",
  );
/** Bytes of included records of one kind. */
const mostBytes = 2 * pageBytes;

/** The fields that must be read for what is to be included, beside those that are shown. */
export const fieldsToInclude = (
  { fields }: Pick<AnyKind, "fields">,
  include: readonly string[] = [],
): string[] => include.flatMap((name) => relationsOf(fields).get(name)?.key ?? []);

/**
 * What rows of a kind refer to, as the caller may see it: one statement a kind, none where nothing is named. What is deleted, or
 * hidden from the caller, is not there.
 * @throws 403 without the right to read a kind that is asked for
 */
export async function includedOf(
  ctx: RecordContext,
  desk: RecordDesk,
  kind: Pick<AnyKind, "fields">,
  rows: readonly Readonly<Record<string, unknown>>[],
  include: readonly string[],
): Promise<Included> {
  const wanted = new Map<string, Set<string>>();
  const relations = relationsOf(kind.fields);
  for (const name of include) {
    const { key, kind: of, part } = relations.get(name) as Relation;
    if (of === undefined) {
      for (const row of rows) {
        const named = row[key] as { kind: string; id: string } | null;
        // of what the caller may not read nothing is there
        const plural = named && desk.kinds.get(named.kind)?.plural;
        if (!named || !plural || !can(ctx.locals.principal, `${plural}:read`)) continue;
        wanted.set(named.kind, (wanted.get(named.kind) ?? new Set()).add(named.id));
      }
      continue;
    }
    const ids = wanted.get(of) ?? new Set();
    for (const row of rows) {
      const named = part === undefined ? [row[key]] : (row[key] as Part[]).map((one) => one[part]);
      for (const id of named) if (typeof id === "string") ids.add(id);
    }
    wanted.set(of, ids);
  }
  const found = await Promise.all(
    [...wanted].map(async ([of, ids]): Promise<[string, unknown[]]> => [
      of,
      of === "user" ? await usersOf(ctx, [...ids]) : await recordsOf(ctx, desk, of, [...ids]),
    ]),
  );
  return Object.fromEntries(found);
}

async function usersOf(ctx: RecordContext, ids: string[]): Promise<unknown[]> {
  if (!can(ctx.locals.principal, "users:read")) throw forbidden("users:read");
  if (ids.length === 0) return [];
  const call = ctx.call as (name: string, params: object) => Promise<{ data: unknown[] }>;
  return (await call.call(ctx, "identity.listUsers", { filter: { id: { in: ids } }, limit: 200 })).data;
}

async function recordsOf(
  ctx: RecordContext,
  desk: RecordDesk,
  name: string,
  ids: string[],
): Promise<unknown[]> {
  const { principal, tx } = ctx.locals;
  const kind = desk.kinds.get(name);
  if (!kind) throw new Error(`No kind ${name}`);
  if (!can(principal, `${kind.plural}:read`)) throw forbidden(`${kind.plural}:read`);
  if (ids.length === 0) return [];
  const fields = await CallFields.of(ctx, desk, kind);
  const values = new Values();
  const conditions = [
    `id = ANY (${values.add(ids)}::uuid[])`,
    "deleted_at IS NULL",
    ...visibleRows(principal, values, kind.owners),
  ];
  const { rows, isCut } = await tx.queryWithin<{ id: string }>({
    text: `SELECT ${kind.columns.join(", ")} FROM ${kind.table} WHERE ${conditions.join(" AND ")} ORDER BY id`,
    values: values.list,
    mostBytes,
  });
  if (isCut) throw tooLarge();
  return fields.show(
    tx,
    rows.map((row) => kind.show(row) as { id: string }),
  );
}
