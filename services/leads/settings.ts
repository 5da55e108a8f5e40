import { LRUCache } from "lru-cache";
import type { PoolMember, Condition, ScoringRule } from "../../entities/leads.ts";
import type { Database } from "../../mixins/database/database.ts";
import { customQueryField } from "../../mixins/records/conditions/fields.ts";
import type { CustomFields, Listing } from "../../mixins/records/listing.ts";
import type { CustomType } from "../../mixins/values/custom-value.ts";
import type { Ctx } from "../contracts.ts";
import { lead } from "../../entities/lead.ts";
import { storedForms } from "./condition.schemas.ts";
import type { Scoring } from "./leads.rules.ts";
import type { CapturePool } from "./pools.rules.ts";
import { defaultRules } from "./scoring.defaults.ts";

/** What capturing and scoring leads of an organization depends on. */
export interface LeadSettings {
  scoring: Scoring;
  /** Active pools, in the order they are tried. */
  pools: readonly CapturePool[];
  sensitive: readonly SensitiveField[];
  /** What conditions know of all custom fields that are defined, by key. */
  defined: CustomFields;
  /** What leads may be listed by: the built-in fields, and custom ones by their definitions. */
  listing: Listing;
  /** Type of each custom field that is defined, by its key. */
  types: ReadonlyMap<string, CustomType>;
}

/** A custom field that is kept sealed. */
export interface SensitiveField {
  key: string;
  type: CustomType;
  /** Whether no two leads may have the same value. */
  isUnique: boolean;
}

/** Broadcast {organizationId} after a change of settings: every node forgets its copy. */
export const settingsChanged = "leads.settings_changed";

const ttlMs = 30_000;
const most = 10_000;

/**
 * This process's copy of each organization's settings, so that capturing a lead reads nothing. A lost broadcast
 * costs at most 30 s of old settings; leads scored meanwhile are found by the last pass of rescoring.
 */
export class SettingsCache {
  readonly #database: Database;
  readonly #loaded = new LRUCache<string, Promise<LeadSettings>>({ max: most, ttl: ttlMs });

  constructor(database: Database) {
    this.#database = database;
  }

  /** Never called while the caller's transaction holds a connection: loading takes another. */
  of(organizationId: string): Promise<LeadSettings> {
    const known = this.#loaded.get(organizationId);
    if (known) return known;
    const loading = this.#load(organizationId);
    this.#loaded.set(organizationId, loading);
    loading.catch(() => this.#loaded.delete(organizationId));
    return loading;
  }

  forget(organizationId: string): void {
    this.#loaded.delete(organizationId);
  }

  #load(organizationId: string): Promise<LeadSettings> {
    return this.#database.transaction({ organizationId }, async (tx) => {
      const [[own], pools, fields] = await Promise.all([
        tx.query<{ rules: ScoringRule[]; version: number }>({
          text: "SELECT rules, version FROM scoring_rules",
        }),
        tx.query<{ id: string; members: PoolMember[]; criteria: Condition[] }>({
          text: "SELECT id, members, criteria FROM assignment_pools WHERE is_active ORDER BY priority, id",
        }),
        tx.query<SensitiveField & { isSensitive: boolean }>({
          text: `SELECT key, type, is_unique AS "isUnique", is_sensitive AS "isSensitive" FROM custom_fields
            WHERE entity = 'lead' ORDER BY key`,
        }),
      ]);
      const sensitive = fields.flatMap(({ isSensitive, ...field }) => (isSensitive ? [field] : []));
      const defined: CustomFields = new Map(
        fields.map(({ key, type }) => [key, customQueryField({ type }, storedForms)]),
      );
      const scoring = { ...(own ?? { rules: defaultRules, version: 0 }), definitions: defined };
      const typedPools = pools.map((pool) => ({ ...pool, definitions: defined }));
      return {
        scoring,
        pools: typedPools,
        sensitive,
        defined,
        types: new Map(fields.map(({ key, type }) => [key, type])),
        listing: { ...lead.listing, customFields: defined },
      };
    });
  }
}

/** After the commit, makes every node, this one too, forget the settings of the caller's organization. */
export function announceSettings(ctx: Pick<Ctx<"leads.get">, "broker" | "locals">): void {
  const { organizationId } = ctx.locals.principal;
  ctx.locals.tx.afterCommit(() => void ctx.broker.broadcast(settingsChanged, { organizationId }));
}
