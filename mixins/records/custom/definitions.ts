import { LRUCache } from "lru-cache";
import type { Database } from "../../database/database.ts";
import type { CustomType, CustomValue } from "../../values/custom-value.ts";
import { customQueryField, emailText, phoneText } from "../conditions/fields.ts";
import type { CustomFields, Listing } from "../finding/listing.ts";

/** A custom field as an organization has defined it. */
export interface Definition {
  id: string;
  version: number;
  kind: string;
  key: string;
  label: string;
  type: CustomType;
  options: readonly { value: string; label: string }[];
  /** The kind of record that a reference names. */
  references: string | null;
  isRequired: boolean;
  isUnique: boolean;
  isSensitive: boolean;
  /** Whether all values are in custom_field_index. */
  isIndexed: boolean;
  default: CustomValue | null;
  isDeleted: boolean;
}

/** Where custom_field_index has the values of a type. */
const indexedColumn = (type: CustomType) => (type === "number" ? "number" : "text");

const storedForms = { email: emailText, phone: phoneText };

/** The custom fields of one kind of record. */
export class KindFields {
  /** By key; without deleted ones. */
  readonly all: ReadonlyMap<string, Definition>;
  /** Deleted ones by key: their values are shown to nobody until they are restored. */
  readonly hidden: ReadonlyMap<string, Definition>;
  readonly sensitive: readonly Definition[];
  readonly unique: readonly Definition[];
  /** Whether something is asked of a new record, or given to it. */
  readonly hasNews: boolean;
  /** What conditions know of them. */
  readonly query: CustomFields;
  readonly #listings = new WeakMap<Listing, Listing>();

  constructor(definitions: readonly Definition[]) {
    const active = definitions.filter(({ isDeleted }) => !isDeleted);
    this.all = new Map(active.map((one) => [one.key, one]));
    this.hidden = new Map(definitions.filter(({ isDeleted }) => isDeleted).map((one) => [one.key, one]));
    this.sensitive = active.filter(({ isSensitive }) => isSensitive);
    this.unique = active.filter(({ isUnique }) => isUnique);
    this.hasNews = active.some((one) => one.isRequired || one.default !== null);
    this.query = new Map(
      active.map((one) => [
        one.key,
        {
          ...customQueryField(one, storedForms),
          ...(one.isSensitive ? { isSensitive: true } : {}),
          ...(one.isIndexed && { index: { kind: one.kind, column: indexedColumn(one.type) } }),
        },
      ]),
    );
  }

  /** What a key is defined as now, for hold_custom_fields; null: as nothing. */
  stateOf(key: string): string | null {
    const field = this.all.get(key);
    return field === undefined ? null : `${field.id}:${field.version}`;
  }

  /** The same for the same listing: what is compiled of it is found again. */
  listing(of: Listing): Listing {
    let known = this.#listings.get(of);
    if (known === undefined) {
      known = { ...of, customFields: this.query };
      this.#listings.set(of, known);
    }
    return known;
  }
}
const none = new KindFields([]);

/** Broadcast {organizationId} after a change of definitions: every process forgets its copy. */
export const definitionsChanged = "custom_fields.changed";
export interface DefinitionsChanged {
  organizationId: string;
}

const ttlMs = 30_000;
const most = 10_000;

/**
 * This process's copy of each organization's definitions, so that writing a record reads none. A lost broadcast costs at most 30 s of
 * old definitions.
 */
export class Definitions {
  readonly #database: Database;
  readonly #loaded = new LRUCache<string, Promise<ReadonlyMap<string, KindFields>>>({
    max: most,
    ttl: ttlMs,
  });

  constructor(database: Database) {
    this.#database = database;
  }

  /** Never called while the caller's transaction holds a connection: loading takes another. */
  async of(organizationId: string, kind: string): Promise<KindFields> {
    let loading = this.#loaded.get(organizationId);
    if (loading === undefined) {
      loading = this.#load(organizationId);
      this.#loaded.set(organizationId, loading);
      loading.catch(() => this.#loaded.delete(organizationId));
    }
    return (await loading).get(kind) ?? none;
  }

  forget(organizationId: string): void {
    this.#loaded.delete(organizationId);
  }

  #load(organizationId: string): Promise<ReadonlyMap<string, KindFields>> {
    return this.#database.transaction({ organizationId }, async (tx) => {
      const rows = await tx.query<Definition & Record<string, unknown>>({
        name: "custom_field_definitions",
        text: `SELECT id, version, entity AS kind, key, label, type, options, refers_to AS "references", is_required AS "isRequired",
            is_unique AS "isUnique", is_sensitive AS "isSensitive",
            is_indexed AND indexed_at IS NOT NULL AS "isIndexed", default_value AS "default", deleted_at IS NOT NULL AS "isDeleted"
          FROM custom_fields ORDER BY key`,
      });
      return new Map(
        [...Map.groupBy(rows, ({ kind }) => kind)].map(([kind, of]) => [kind, new KindFields(of)]),
      );
    });
  }
}
