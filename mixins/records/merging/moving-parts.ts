import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { columnOf } from "../finding/listing.ts";
import { mostRelated, type Moved, type Moving } from "./moved.ts";
import { partsOf, unitedParts, wholeParts, type Part, type PartsSpec } from "../kind/parts.ts";
import type { PendingChanges } from "../writing/pending.ts";

/** A list of parts whose field refers to a kind. */
export interface PartReference {
  /** Whose list it is. */
  kind: AnyKind;
  key: string;
  spec: PartsSpec;
  /** The field of the part. */
  name: string;
}

export const partReferencesTo = (kind: AnyKind, kinds: ReadonlyMap<string, AnyKind>): PartReference[] =>
  [...kinds.values()].flatMap((other) =>
    partsOf(other.fields).flatMap(([key, spec]) =>
      Object.entries(spec.of).flatMap(([name, { refersTo }]) =>
        refersTo === kind.name ? [{ kind: other, key, spec, name }] : [],
      ),
    ),
  );

/** Has parts of the losers be parts of the winner; of two in one list one stays, with what the other has and it lacks. */
export async function moveParts(
  tx: UnitOfWork,
  pending: PendingChanges,
  reference: PartReference,
  { from, to }: Moving,
): Promise<Moved[]> {
  const { kind, key, spec, name } = reference;
  const columns = spec.primaries.flatMap(({ field, value }) => (value === name ? [columnOf(field)] : []));
  const ids = [
    `SELECT record_id FROM ${spec.table} WHERE ${columnOf(name)} = ANY ($1)`,
    ...columns.map((column) => `SELECT id FROM ${kind.plural} WHERE ${column} = ANY ($1)`),
  ];
  const rows = await tx.query<AnyRow>({
    text: `SELECT ${kind.columns.join(", ")} FROM ${kind.plural} WHERE id IN (${ids.join(" UNION ")})
      ORDER BY id LIMIT ${mostRelated + 1} FOR NO KEY UPDATE`,
    values: [from],
  });
  return rows.flatMap((row) => {
    const whole = wholeParts(spec, columnOf(key), pending.rowOf(kind, row));
    const isLoser = (part: Part) => from.includes(part[name] as string);
    const united = unitedParts(spec, [whole.map((part) => (isLoser(part) ? { ...part, [name]: to } : part))]);
    pending.change(kind, row, { [key]: united });
    const other = whole.find((part) => part[name] === to);
    return whole.flatMap((part, index) =>
      isLoser(part)
        ? [
            {
              ...{ table: kind.plural, column: key, id: row.id, from: part[name] as string },
              ...{ part, wasFirst: index === 0, ...(other && { other }) },
            },
          ]
        : [],
    );
  });
}

/** The opposite, in lists that still have the winner. What was changed of it since, stays where it stands for one loser. */
export async function movePartsBack(
  tx: UnitOfWork,
  pending: PendingChanges,
  reference: PartReference,
  moved: readonly Moved[],
  winnerId: string,
): Promise<void> {
  if (moved.length === 0) return;
  const { kind, key, spec, name } = reference;
  const byRecord = Map.groupBy(moved, ({ id }) => id);
  const rows = await tx.query<AnyRow>({
    text: `SELECT ${kind.columns.join(", ")} FROM ${kind.plural} WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE`,
    values: [[...byRecord.keys()]],
  });
  for (const row of rows) {
    const whole = wholeParts(spec, columnOf(key), pending.rowOf(kind, row));
    if (!spec.key.includes(name)) {
      pending.change(kind, row, {
        [key]: referringBack(reference, whole, byRecord.get(row.id) ?? [], winnerId),
      });
      continue;
    }
    const at = whole.findIndex((part) => part[name] === winnerId);
    const those = byRecord.get(row.id) ?? [];
    if (at < 0) continue;
    const own = whole[at] as Part;
    const other = those.find((one) => one.other)?.other;
    const back = those.map(({ from, part = {} }) =>
      other || those.length > 1 ? { ...part, [name]: from } : { ...own, [name]: from },
    );
    const isFirst = those.some(({ wasFirst }) => wasFirst);
    const kept = other ? [other] : [];
    const order = isFirst ? [...back, ...kept] : [...kept, ...back];
    pending.change(kind, row, { [key]: unitedParts(spec, [whole.toSpliced(at, 1, ...order)]) });
  }
}

/** Parts that are what they are whatever they refer to: each that refers to the winner still refers to its loser again. */
function referringBack(
  { spec, name }: PartReference,
  whole: readonly Part[],
  moved: readonly Moved[],
  winnerId: string,
): Part[] {
  const isSame = (part: Part, other: Part = {}) => spec.key.every((one) => part[one] === other[one]);
  return whole.map((part) => {
    const was = part[name] === winnerId ? moved.find((one) => isSame(part, one.part)) : undefined;
    return was ? { ...part, [name]: was.from } : part;
  });
}
