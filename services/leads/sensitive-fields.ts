import { can, type Principal } from "../../mixins/access/principal.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { OrganizationCipher } from "../../mixins/encryption/organization-cipher.ts";
import { forbidden, invalid, type FieldError } from "../../mixins/contract/errors.ts";
import type { QueryField } from "../../mixins/records/conditions/fields.ts";
import { eachField, type Asked, type CustomFields, type Listing } from "../../mixins/records/listing.ts";
import { checkCustomValue } from "../../mixins/values/custom-value.ts";
import type { Ctx } from "../contracts.ts";
import type { Desk } from "./desk.ts";
import type { LeadView } from "../../entities/lead.ts";
import type { ApartValues, CustomValues, Holder } from "../../mixins/records/values.ts";
import { requireKnownFields } from "./known-fields.ts";
import { sensitiveValueTaken } from "./leads.errors.ts";
import type { LeadSettings, SensitiveField } from "./settings.ts";

export const permission = "leads:sensitive";
const table = "lead_sensitive_fields";
/** Characters. They are no part of what a record may take: there are few fields, and this bounds each. */
const longestValue = 1_000;

type Input = Readonly<Record<string, unknown>>;
type Value = string | number | boolean | null;

/**
 * The sensitive custom fields of leads as one call sees them. They are sealed with the organization's data key in a
 * table of their own, so events, jobs and other copies of a lead never hold them; who lacks `leads:sensitive` can
 * neither read nor write nor filter by them.
 */
export class SensitiveFields implements CustomValues {
  readonly #fields: ReadonlyMap<string, SensitiveField>;
  readonly #settings: LeadSettings;
  readonly #reader: UnitOfWork;
  readonly #cipher: OrganizationCipher | undefined;
  readonly #principal: Principal;

  private constructor(
    settings: LeadSettings,
    cipher: OrganizationCipher | undefined,
    principal: Principal,
    reader: UnitOfWork,
  ) {
    this.#fields = new Map(settings.sensitive.map((field) => [field.key, field]));
    this.#settings = settings;
    this.#reader = reader;
    this.#cipher = cipher;
    this.#principal = principal;
  }

  /** Ask for it before the call's transaction has begun: the organization's key may have to be loaded. */
  static async of(
    { locals: { principal } }: Pick<Ctx<"leads.get">, "locals">,
    desk: Pick<Desk, "keys" | "database">,
    settings: LeadSettings,
  ): Promise<SensitiveFields> {
    const cipher = settings.sensitive.length === 0 ? undefined : await desk.keys.of(principal.organizationId);
    return new SensitiveFields(settings, cipher, principal, desk.database.reader(principal.organizationId));
  }

  /** The first sensitive field an input names. */
  namedBy(input: Input): string | undefined {
    if (this.#fields.size === 0) return undefined;
    return Object.keys(input.customFields ?? {}).find((key) => this.#fields.has(key));
  }

  /**
   * An input without its sensitive fields, and those.
   * @throws 403 without the permission; 422 for a value of another type than its field's, or too long
   */
  split<T extends Input>(input: T): { input: T; apart: ApartValues } {
    const apart = new Map<string, Value>();
    if (input.customFields === undefined) return { input, apart };
    if (this.namedBy(input) !== undefined && !can(this.#principal, permission)) throw forbidden(permission);
    const rest: Record<string, Value> = {};
    const problems: FieldError[] = [];
    for (const [key, value] of Object.entries(input.customFields as Record<string, Value>)) {
      const type = this.#settings.types.get(key);
      const problem = type && checkCustomValue({ type }, value);
      if (problem) problems.push({ path: `customFields.${key}`, ...problem });
      else if (!this.#fields.has(key)) rest[key] = value;
      else if (typeof value === "string" && value.length > longestValue)
        problems.push({
          path: `customFields.${key}`,
          code: "too_big",
          message: `a sensitive value may have ${longestValue} characters, this has ${value.length}`,
        });
      else apart.set(key, value);
    }
    if (problems.length > 0) throw invalid(problems);
    return { input: { ...input, customFields: rest }, apart };
  }

  /** Writes values of leads, whether or not the lead itself is written yet. A clash is a 409 VALUE_TAKEN. */
  async store(tx: UnitOfWork, leads: readonly Holder[]): Promise<void> {
    const values = leads.flatMap(({ id, apart }) => [...apart].map(([key, value]) => ({ id, key, value })));
    if (values.length === 0) return;
    tx.onViolation("lead_sensitive_fields_unique", sensitiveValueTaken);
    const [gone, kept] = [
      values.filter(({ value }) => value === null),
      values.filter(({ value }) => value !== null),
    ];
    await Promise.all([
      gone.length > 0
        && tx.execute({
          text: `DELETE FROM ${table} WHERE (lead_id, key) IN (SELECT * FROM unnest($1::uuid[], $2::text[]))`,
          values: [gone.map(({ id }) => id), gone.map(({ key }) => key)],
        }),
      kept.length > 0
        && tx.execute({
          text: `INSERT INTO ${table} (organization_id, lead_id, key, sealed, blind, is_unique)
            SELECT $1, * FROM unnest($2::uuid[], $3::text[], $4::bytea[], $5::bytea[], $6::boolean[])
            ON CONFLICT (organization_id, lead_id, key) DO UPDATE
              SET sealed = excluded.sealed, blind = excluded.blind, is_unique = excluded.is_unique`,
          values: [
            tx.organizationId,
            kept.map(({ id }) => id),
            kept.map(({ key }) => key),
            kept.map(({ id, key, value }) =>
              this.#keys.seal({ table, column: key, row: id }, JSON.stringify(value)),
            ),
            kept.map(({ key, value }) => this.#blind(key, value)),
            kept.map(({ key }) => this.#fields.get(key)?.isUnique ?? false),
          ],
        }),
    ]);
  }

  /** Which of these leads would clash with another lead's unique value, as things stand; `store` decides. */
  async clashing(leads: readonly Holder[]): Promise<{ ids: ReadonlySet<string>; error: () => Error }> {
    const clashing = new Set<string>();
    const answer = { ids: clashing, error: sensitiveValueTaken };
    const firstBy = new Map<string, string>();
    const blinds: Buffer[] = [];
    for (const { id, apart } of leads)
      for (const [key, value] of apart) {
        if (value === null || !this.#fields.get(key)?.isUnique) continue;
        const blind = this.#blind(key, value);
        if (firstBy.has(blind.toString("hex"))) clashing.add(id);
        else firstBy.set(blind.toString("hex"), id);
        blinds.push(blind);
      }
    if (blinds.length === 0) return answer;
    const taken = await this.#reader.query<{ blind: Buffer }>({
      text: `SELECT blind FROM ${table} WHERE is_unique AND key = ANY ($1) AND blind = ANY ($2::bytea[])`,
      values: [[...this.#fields.keys()], blinds],
    });
    for (const { blind } of taken) clashing.add(firstBy.get(blind.toString("hex")) ?? "");
    return answer;
  }

  /** Adds to leads, as this caller is shown them, their sensitive fields: opened or null, and named in `sensitive`. */
  async show<T extends { id: string }>(tx: UnitOfWork, leads: readonly T[]): Promise<T[]> {
    const cipher = this.#cipher;
    if (!cipher) return [...leads];
    const holders = leads.filter((lead) => (lead as Partial<LeadView>).customFields !== undefined);
    if (holders.length === 0) return [...leads];
    const rows = await tx.query<{ lead_id: string; key: string; sealed: Buffer }>({
      name: "sensitive_fields",
      text: `SELECT lead_id, key, sealed FROM ${table} WHERE lead_id = ANY ($1) AND key = ANY ($2) ORDER BY key`,
      values: [holders.map(({ id }) => id), [...this.#fields.keys()]],
    });
    const byLead = Map.groupBy(rows, ({ lead_id: id }) => id);
    const maySee = can(this.#principal, permission);
    return leads.map((lead) => {
      const sealed = byLead.get(lead.id);
      if (!sealed) return lead;
      const values = sealed.map(({ key, sealed: bytes }): [string, unknown] => [
        key,
        maySee ? JSON.parse(cipher.open({ table, column: key, row: lead.id }, bytes)) : null,
      ]);
      return {
        ...lead,
        customFields: { ...(lead as Partial<LeadView>).customFields, ...Object.fromEntries(values) },
        sensitive: values.map(([key]) => key),
      };
    });
  }

  /**
   * What leads may be listed by, where sensitive fields are looked for by their blind index.
   * @throws 403 when they are asked for without the permission; 400, by `known`, for custom fields that no lead has
   */
  listing(tx: Pick<UnitOfWork, "query">, asked: Pick<Asked, "filter" | "where">) {
    const listing = this.#listing(asked);
    return { listing, known: requireKnownFields(tx, this.#settings, asked) };
  }

  #listing(asked: Pick<Asked, "filter" | "where">): Listing {
    const { listing } = this.#settings;
    if (this.#fields.size === 0) return listing;
    const sealed = new Map<string, QueryField>();
    eachField(asked, (path) => {
      const key = path.slice("customFields.".length);
      if (path.startsWith("customFields.") && this.#fields.has(key)) sealed.set(key, this.#sealedField(key));
    });
    if (sealed.size === 0) return listing;
    if (!can(this.#principal, permission)) throw forbidden(permission);
    const { customFields } = listing;
    return { ...listing, customFields: new Map([...(customFields as CustomFields), ...sealed]) };
  }

  #sealedField(key: string): QueryField {
    return {
      type: "text",
      operators: ["eq", "in"],
      sqlOfTest: ({ operands }, values) =>
        `id IN (SELECT lead_id FROM ${table} WHERE key = ${values.add(key)} AND blind = ANY (${values.add(
          operands.map((one) => this.#blind(key, one)),
        )}::bytea[]))`,
    };
  }

  get #keys(): OrganizationCipher {
    if (!this.#cipher) throw new Error("The organization has no sensitive fields");
    return this.#cipher;
  }

  /** Of a value as a filter writes it: 7 and "7" are one. */
  #blind(key: string, value: unknown): Buffer {
    return this.#keys.blindIndex({ table, column: key }, String(value).normalize("NFC").trim());
  }
}

/** All sensitive values of these leads, by lead and key, for an archive of what is held of a person. */
export async function openSensitive(
  tx: UnitOfWork,
  cipher: OrganizationCipher,
  leadIds: readonly string[],
): Promise<ReadonlyMap<string, Record<string, unknown>>> {
  const rows = await tx.query<{ lead_id: string; key: string; sealed: Buffer }>({
    text: `SELECT lead_id, key, sealed FROM ${table} WHERE lead_id = ANY ($1)`,
    values: [leadIds],
  });
  const values = new Map<string, Record<string, unknown>>();
  for (const { lead_id: row, key, sealed } of rows) {
    const ofLead = values.get(row) ?? {};
    ofLead[key] = JSON.parse(cipher.open({ table, column: key, row }, sealed)) as unknown;
    values.set(row, ofLead);
  }
  return values;
}
