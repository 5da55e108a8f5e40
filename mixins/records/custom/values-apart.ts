import { createHash } from "node:crypto";
import type { UnitOfWork } from "../../database/unit-of-work.ts";
import type { OrganizationCipher } from "../../encryption/organization-cipher.ts";
import type { CustomValue } from "../../values/custom-value.ts";
import type { QueryField } from "../conditions/fields.ts";
import type { KindFields } from "./definitions.ts";
import type { CustomKind } from "../kind/kind.ts";
import { valueTaken } from "./custom.errors.ts";

/** Before the key of a custom field in a path. */
export const custom = "customFields.";
/** Values of sealed and of unique fields by key; null takes a value away. */
export type Apart = ReadonlyMap<string, CustomValue | null>;

const table = "custom_field_values";
/** Where a value is sealed; what leads had before other kinds stays where it opens. */
export const placeOf = ({ name }: Pick<CustomKind, "name">): string =>
  name === "lead" ? "lead_sensitive_fields" : `${table}.${name}`;

/** What equal values have in common: 7 and "7", as a filter writes it, are one. */
const formOf = (value: unknown): string =>
  (typeof value === "string" ? value : JSON.stringify(value)).normalize("NFC").trim();
/** Of a value that its record holds too. */
export const markOf = (value: unknown): Buffer => createHash("sha256").update(formOf(value)).digest();
/** Of a sealed one. */
export const blindOf = (
  cipher: OrganizationCipher,
  kind: Pick<CustomKind, "name">,
  key: string,
  value: unknown,
): Buffer => cipher.blindIndex({ table: placeOf(kind), column: key }, formOf(value));

/** A sealed value that the winner of a merge has of a loser. */
export interface TakenOver {
  key: string;
  from: string;
  value: CustomValue;
}

interface Mark {
  key: string;
  blind: Buffer;
  name: string;
}
const nameOf = (key: string, blind: Buffer) => `${key} ${blind.toString("hex")}`;

/** Whose unique values are, as things stand, and as those who ask take them. */
export interface Claims {
  /** Takes what is unique of a record's values; answers instead which is another's, and whose. */
  take(id: string, apart: Apart): { key: string; holder: string } | undefined;
}

/** The rows of one kind in `custom_field_values`: sealed values, and marks by which a unique value is found again. */
export class ValuesApart {
  readonly #kind: CustomKind;
  readonly #fields: KindFields;
  readonly #cipher: OrganizationCipher | undefined;

  constructor(kind: CustomKind, fields: KindFields, cipher: OrganizationCipher | undefined) {
    this.#kind = kind;
    this.#fields = fields;
    this.#cipher = cipher;
  }

  get #keys(): OrganizationCipher {
    if (!this.#cipher) throw new Error("The organization has no sensitive fields");
    return this.#cipher;
  }

  #isSealed(key: string): boolean {
    return this.#fields.all.get(key)?.isSensitive ?? false;
  }

  #isUnique(key: string): boolean {
    return this.#fields.all.get(key)?.isUnique ?? false;
  }

  #blind(key: string, value: unknown): Buffer {
    return this.#isSealed(key) ? blindOf(this.#keys, this.#kind, key, value) : markOf(value);
  }

  store(tx: UnitOfWork, records: readonly { id: string; apart: Apart }[], taken?: () => Error): void {
    const values = records.flatMap(({ id, apart }) => [...apart].map(([key, value]) => ({ id, key, value })));
    if (values.length === 0) return;
    this.#refuseClashes(tx, taken);
    const gone = values.filter(({ value }) => value === null);
    const kept = values.filter(({ value }) => value !== null);
    if (gone.length > 0)
      tx.defer({
        name: "delete_custom_field_values",
        text: `DELETE FROM ${table} WHERE (record_id, key) IN (SELECT * FROM unnest($1::uuid[], $2::text[]))`,
        values: [gone.map(({ id }) => id), gone.map(({ key }) => key)],
      });
    if (kept.length === 0) return;
    const place = placeOf(this.#kind);
    tx.defer({
      name: "store_custom_field_values",
      text: `INSERT INTO ${table} (organization_id, kind, record_id, key, sealed, blind, is_unique)
        SELECT $1, $2, * FROM unnest($3::uuid[], $4::text[], $5::bytea[], $6::bytea[], $7::boolean[])
        ON CONFLICT (organization_id, record_id, key) DO UPDATE
          SET sealed = excluded.sealed, blind = excluded.blind, is_unique = excluded.is_unique`,
      values: [
        tx.organizationId,
        this.#kind.name,
        kept.map(({ id }) => id),
        kept.map(({ key }) => key),
        kept.map(({ id, key, value }) =>
          this.#isSealed(key)
            ? this.#keys.seal({ table: place, column: key, row: id }, JSON.stringify(value))
            : null,
        ),
        kept.map(({ key, value }) => this.#blind(key, value)),
        kept.map(({ key }) => this.#isUnique(key)),
      ],
    });
  }

  #refuseClashes(tx: UnitOfWork, taken = (): Error => valueTaken(this.#kind)): void {
    tx.onViolation("custom_field_values_unique", taken);
  }

  async claims(tx: Pick<UnitOfWork, "query">, given: readonly Apart[]): Promise<Claims> {
    const marksIn = (apart: Apart): Mark[] =>
      [...apart].flatMap(([key, value]) => {
        if (value === null || !this.#isUnique(key)) return [];
        const blind = this.#blind(key, value);
        return [{ key, blind, name: nameOf(key, blind) }];
      });
    const holders = new Map<string, string>();
    const sought = given.flatMap(marksIn);
    if (sought.length > 0) {
      const taken = await tx.query<{ key: string; blind: Buffer; id: string }>({
        name: "taken_custom_field_values",
        text: `SELECT v.key, v.blind, v.record_id AS id
          FROM ${table} v JOIN unnest($2::text[], $3::bytea[]) AS sought (key, blind) USING (key, blind)
          WHERE v.is_unique AND v.kind = $1`,
        values: [this.#kind.name, sought.map(({ key }) => key), sought.map(({ blind }) => blind)],
      });
      for (const { key, blind, id } of taken) holders.set(nameOf(key, blind), id);
    }
    return {
      take(id, apart) {
        const marks = marksIn(apart);
        const held = marks.find(({ name }) => (holders.get(name) ?? id) !== id);
        if (held) return { key: held.key, holder: holders.get(held.name) as string };
        for (const { name } of marks) holders.set(name, id);
        return undefined;
      },
    };
  }

  // what is unique is asked of the definitions as they are then, which whoever releases and claims holds

  release(tx: UnitOfWork, ids: readonly string[]): void {
    if (ids.length === 0) return;
    tx.defer({
      name: "release_custom_field_values",
      text: `UPDATE ${table} SET is_unique = false WHERE record_id = ANY ($1) AND is_unique`,
      values: [ids],
    });
  }

  async claim(tx: UnitOfWork, ids: readonly string[], from?: string): Promise<void> {
    const unique = `SELECT key FROM custom_fields WHERE entity = $2 AND is_unique AND deleted_at IS NULL`;
    const [taken] = await tx.query<{ key: string; id: string }>({
      text: `SELECT own.key, other.record_id AS id FROM ${table} own
        JOIN ${table} other ON other.kind = own.kind AND other.key = own.key AND other.blind = own.blind AND other.is_unique
        WHERE own.record_id = ANY ($1) AND own.key IN (${unique}) AND other.record_id <> ALL ($3) LIMIT 1`,
      values: [ids, this.#kind.name, from === undefined ? ids : [...ids, from]],
    });
    if (taken) throw valueTaken(this.#kind, taken.key, taken.id);
    this.#refuseClashes(tx);
    tx.defer({
      text: `UPDATE ${table} SET is_unique = true WHERE record_id = ANY ($1) AND key IN (${unique})`,
      values: [ids, this.#kind.name],
    });
  }

  /** Sealed values by record and key; null where they may not be seen. */
  async read(
    tx: UnitOfWork,
    ids: readonly string[],
    maySee: boolean,
  ): Promise<ReadonlyMap<string, ReadonlyMap<string, unknown>>> {
    const rows = await tx.query<{ record_id: string; key: string; sealed: Buffer }>({
      name: "sealed_custom_field_values",
      text: `SELECT record_id, key, sealed FROM ${table}
        WHERE record_id = ANY ($1) AND key = ANY ($2) AND sealed IS NOT NULL ORDER BY key`,
      values: [ids, this.#fields.sensitive.map(({ key }) => key)],
    });
    const byRecord = new Map<string, Map<string, unknown>>();
    for (const { record_id: row, key, sealed } of rows) {
      const values = byRecord.get(row) ?? new Map<string, unknown>();
      values.set(key, maySee ? this.#open(row, key, sealed) : null);
      byRecord.set(row, values);
    }
    return byRecord;
  }

  #open(row: string, key: string, sealed: Buffer): unknown {
    return JSON.parse(this.#keys.open({ table: placeOf(this.#kind), column: key, row }, sealed));
  }

  async takeOver(tx: UnitOfWork, winner: string, losers: readonly string[]): Promise<TakenOver[]> {
    if (!this.#cipher) return [];
    const values = await this.read(tx, [winner, ...losers], true);
    const taken = new Map<string, TakenOver>();
    for (const from of losers)
      for (const [key, value] of values.get(from) ?? [])
        if (!values.get(winner)?.has(key) && !taken.has(key))
          taken.set(key, { key, from, value: value as CustomValue });
    const apart = new Map([...taken].map(([key, { value }]) => [key, value]));
    this.store(tx, [{ id: winner, apart }]);
    return [...taken.values()];
  }

  async giveBack(
    tx: UnitOfWork,
    winner: string,
    taken: readonly { key: string; from: string }[],
  ): Promise<void> {
    if (taken.length === 0) return;
    await tx.execute({
      text: `DELETE FROM ${table} w USING unnest($2::text[], $3::uuid[]) AS t (key, id), ${table} l
        WHERE w.record_id = $1 AND w.key = t.key AND l.record_id = t.id AND l.key = t.key AND l.blind = w.blind`,
      values: [winner, taken.map(({ key }) => key), taken.map(({ from }) => from)],
    });
  }

  /** A sealed field is found by equal values alone. */
  sealedField(key: string): QueryField {
    const form = this.#fields.query.get(key);
    return {
      ...{ type: "text", operators: ["eq", "in"] },
      // an email or a phone is looked for in the form in which it was sealed
      ...(form?.normalise && { normalise: (text: string) => form.normalise?.(text) ?? null }),
      ...(form?.example !== undefined && { example: form.example }),
      sqlOfTest: ({ operands }, values) =>
        `id IN (SELECT record_id FROM ${table} WHERE kind = ${values.add(this.#kind.name)} AND key = ${values.add(key)}
          AND sealed IS NOT NULL AND blind = ANY (${values.add(operands.map((one) => this.#blind(key, one)))}::bytea[]))`,
    };
  }
}

/** All sensitive values of these records, by record and key, for an archive of what is held of a person. */
export async function openSensitive(
  tx: UnitOfWork,
  cipher: OrganizationCipher,
  kind: Pick<CustomKind, "name">,
  ids: readonly string[],
): Promise<ReadonlyMap<string, Record<string, unknown>>> {
  const rows = await tx.query<{ record_id: string; key: string; sealed: Buffer }>({
    text: `SELECT record_id, key, sealed FROM ${table} WHERE record_id = ANY ($1) AND sealed IS NOT NULL`,
    values: [ids],
  });
  const values = new Map<string, Record<string, unknown>>();
  for (const { record_id: row, key, sealed } of rows) {
    const ofRecord = values.get(row) ?? {};
    ofRecord[key] = JSON.parse(cipher.open({ table: placeOf(kind), column: key, row }, sealed)) as unknown;
    values.set(row, ofRecord);
  }
  return values;
}

/** Forgets what is kept apart of one value, at commit. */
export function forgetValue(tx: UnitOfWork, id: string, key: string): void {
  tx.defer({
    name: "forget_custom_field_value",
    text: `DELETE FROM ${table} WHERE record_id = $1 AND key = $2`,
    values: [id, key],
  });
}

/** Forgets what is kept apart of these records, at commit. */
export function forgetValues(tx: UnitOfWork, ids: readonly string[]): void {
  if (ids.length > 0) tx.defer({ text: `DELETE FROM ${table} WHERE record_id = ANY ($1)`, values: [ids] });
}
