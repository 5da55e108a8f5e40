import { LRUCache } from "lru-cache";
import type { Database } from "../database/database.ts";
import { defaultCurrency } from "../contract/currencies.ts";
import { appError } from "../contract/errors.ts";
import { defaultCountry, type CountryCode } from "../values/phone.ts";
import { limitsOf, type PlanLimits } from "./plans.ts";
import { Poller } from "../concurrency/poller.ts";

/** Broadcast {organizationId} after a change of its plan or standing: every process looks at it again. */
export const organizationChanged = "organization.changed";
/** Code of what is refused to, and postponed for, an organization that is suspended or about to be deleted. */
export const organizationSuspended = "ORGANIZATION_SUSPENDED";

/** How an organization stands. */
export interface Standing {
  plan: string;
  limits: PlanLimits;
  /** Suspended, or about to be deleted: nobody may act for it, and its jobs wait. */
  isSuspended: boolean;
  /** See mixins/contract/time-zone.ts. */
  timeZone: string;
  /** Of phones that are written without one; ISO 3166-1. */
  country: CountryCode;
  /** In which sums over deals are told, and of amounts that come without one; ISO 4217. */
  currency: string;
}

const most = 50_000;
/** A standing that nobody told of a change of is read again after this. */
const keptMs = 60_000;
/** How late a change whose broadcast was lost takes effect. */
const checkEveryMs = 1_000;
/** Of how long ago changes are asked for: longer than clocks differ and transactions last. */
const lookBackSeconds = 60;

const columns = `id, plan, timezone AS "timeZone", country, currency, suspended_at IS NOT NULL OR deletion_due_at IS NOT NULL AS "isSuspended"`;
type Row = {
  id: string;
  plan: string;
  isSuspended: boolean;
  timeZone: string;
  country: CountryCode | null;
  currency: string | null;
};
/** Of an organization that is in no table: internal callers may name one. */
const stranger: Standing = {
  ...{ plan: "", limits: limitsOf("") },
  isSuspended: false,
  ...{ timeZone: "UTC", country: defaultCountry, currency: defaultCurrency },
};

/**
 * This process's copy of how organizations stand. The control database decides; a broadcast makes a change quick,
 * and once a second the last minute's changes are read besides.
 */
export class Organizations {
  readonly #database: Database;
  readonly #standings: LRUCache<string, Standing>;
  readonly #suspended = new Set<(organizationId: string) => void>();
  readonly #poller: Poller;

  constructor(database: Database, onError: (error: Error) => void) {
    this.#database = database;
    this.#standings = new LRUCache({
      max: most,
      ttl: keptMs,
      // better an old answer than none, while the control database is away
      allowStaleOnFetchRejection: true,
      fetchMethod: (organizationId) => this.#load(organizationId),
    });
    this.#poller = new Poller({
      name: "organizations",
      everyMs: checkEveryMs,
      run: () => this.#check(),
      onError,
    });
  }

  start(): void {
    this.#poller.start();
  }

  stop(): Promise<void> {
    return this.#poller.stop();
  }

  /** @throws what the control database says when it cannot be asked and never was: nobody is taken for active unread */
  async of(organizationId: string): Promise<Standing> {
    return (
      (await this.#standings.fetch(organizationId))
      // a check that stored the standing while it was being read leaves that read without an answer
      ?? this.#standings.get(organizationId)
      ?? (await this.#load(organizationId))
    );
  }

  /** @throws 403 ORGANIZATION_SUSPENDED */
  async requireActive(organizationId: string): Promise<void> {
    if ((await this.of(organizationId)).isSuspended) throw suspended();
  }

  /** Calls `listener` with each organization that was suspended, in its first minute once a second. */
  onSuspended(listener: (organizationId: string) => void): void {
    this.#suspended.add(listener);
  }

  /** Hears that an organization has changed. */
  hear(): void {
    this.#poller.kick();
  }

  async #load(organizationId: string): Promise<Standing> {
    const [row] = await this.#database.transaction({ control: organizationId }, (tx) =>
      tx.query<Row>({ name: "organization_standing", text: `SELECT ${columns} FROM control.organizations` }),
    );
    return row ? standingOf(row) : stranger;
  }

  async #check(): Promise<false> {
    const { control } = this.#database;
    const rows = await this.#database.transaction({ platform: control }, (tx) =>
      tx.query<Row>({
        name: "changed_organizations",
        text: `SELECT ${columns} FROM control.organizations WHERE updated_at > now() - $1 * interval '1 s'`,
        values: [lookBackSeconds],
      }),
    );
    for (const row of rows) {
      this.#standings.set(row.id, standingOf(row));
      if (row.isSuspended) for (const listener of this.#suspended) listener(row.id);
    }
    return false;
  }
}

export const suspended = () =>
  appError(
    403,
    organizationSuspended,
    "The organization is suspended or about to be deleted; its admins and the operator can tell.",
  );

const standingOf = ({ plan, isSuspended, timeZone, country, currency }: Row): Standing => ({
  ...{
    plan,
    isSuspended,
    timeZone,
    country: country ?? defaultCountry,
    currency: currency ?? defaultCurrency,
  },
  limits: limitsOf(plan),
});
