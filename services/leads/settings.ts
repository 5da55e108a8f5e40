import { LRUCache } from "lru-cache";
import type { PoolMember, Condition, ScoringRule } from "../../entities/lead-settings.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { Definitions } from "../../mixins/records/custom/definitions.ts";
import type { CustomFields } from "../../mixins/records/finding/listing.ts";
import type { Ctx } from "../contracts.ts";
import type { Scoring } from "./leads.rules.ts";
import type { CapturePool } from "./pools.rules.ts";
import { defaultRules } from "./scoring.defaults.ts";

/** What capturing and scoring leads of an organization depends on. */
export interface LeadSettings {
  scoring: Scoring;
  /** Active pools, in the order they are tried. */
  pools: readonly CapturePool[];
  /** What conditions know of all custom fields that are defined, by key. */
  defined: CustomFields;
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
  readonly #definitions: Definitions;
  readonly #loaded = new LRUCache<string, Promise<Stored>>({ max: most, ttl: ttlMs });

  constructor(database: Database, definitions: Definitions) {
    this.#database = database;
    this.#definitions = definitions;
  }

  /** As they are; loaded where this process has no copy. */
  async of(organizationId: string): Promise<LeadSettings> {
    let loading = this.#loaded.get(organizationId);
    if (loading === undefined) {
      loading = this.#load(organizationId);
      this.#loaded.set(organizationId, loading);
      loading.catch(() => this.#loaded.delete(organizationId));
    }
    const [stored, { query: defined }] = await Promise.all([
      loading,
      this.#definitions.of(organizationId, "lead"),
    ]);
    // made once for the definitions as they are: what is compiled of them is found again
    if (stored.settings?.defined !== defined)
      stored.settings = {
        scoring: { ...stored.scoring, definitions: defined },
        pools: stored.pools.map((pool) => ({ ...pool, definitions: defined })),
        defined,
      };
    return stored.settings;
  }

  forget(organizationId: string): void {
    this.#loaded.delete(organizationId);
  }

  #load(organizationId: string): Promise<Stored> {
    return this.#database.transaction({ organizationId }, async (tx) => {
      const [[own], pools] = await Promise.all([
        tx.query<{ rules: ScoringRule[]; version: number }>({
          text: "SELECT rules, version FROM scoring_rules",
        }),
        tx.query<{ id: string; members: PoolMember[]; criteria: Condition[] }>({
          text: "SELECT id, members, criteria FROM assignment_pools WHERE is_active ORDER BY priority, id",
        }),
      ]);
      return { scoring: own ?? { rules: defaultRules, version: 0 }, pools };
    });
  }
}

/** What is stored, and what was made of it with the definitions of custom fields. */
interface Stored {
  scoring: Pick<Scoring, "rules" | "version">;
  pools: readonly { id: string; members: PoolMember[]; criteria: Condition[] }[];
  settings?: LeadSettings;
}

/** After the commit, makes every node, this one too, forget the settings of the caller's organization. */
export function announceSettings(ctx: Pick<Ctx<"leads.get">, "broker" | "locals">): void {
  const { organizationId } = ctx.locals.principal;
  ctx.locals.tx.afterCommit(() => void ctx.broker.broadcast(settingsChanged, { organizationId }));
}
