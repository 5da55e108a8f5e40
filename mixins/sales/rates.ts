import { currencyDigits } from "../contract/currencies.ts";
import type { Database } from "../database/database.ts";
import { CopiesByOrganization } from "../organizations/copies.ts";
import type { Organizations } from "../organizations/organizations.ts";
import type { Values } from "../records/finding/listing.ts";
import { fromMinorUnits } from "../records/kind/fields.ts";
import { divided } from "./line-items.ts";

/** Broadcast {organizationId} after a change of rates: every process forgets its copy. */
export const ratesChanged = "rates.changed";

type Money = ReturnType<typeof fromMinorUnits>;
/** What a currency is worth, from each of these moments on. */
interface Worth {
  from: string[];
  rates: string[];
}

/** Sums in one currency, told by PostgreSQL: minor units as text. */
export interface SumOfRate {
  currency: string;
  units: string;
  /** Which of the currency's rates holds, see `placeSql`. */
  place: number;
}

/** What currencies are worth in an organization's own. */
export class Rates {
  /** The organization's. */
  readonly currency: string;
  readonly #worth: ReadonlyMap<string, Worth>;

  constructor(currency: string, worth: ReadonlyMap<string, Worth>) {
    this.currency = currency;
    this.#worth = worth;
  }

  /**
   * SQL of which rate of its currency a deal's amount is told by: 0 where there is none, the first of the currency is 1.
   * @param now when open deals count; closed ones do when they were closed
   */
  placeSql(values: Values, now: Date): string {
    if (this.#worth.size === 0) return "0";
    const moment = `coalesce(closed_at, ${values.add(now)}::timestamptz)`;
    const cases = [...this.#worth].map(
      ([code, { from }]) =>
        `WHEN ${values.add(code)} THEN width_bucket(${moment}, ${values.add(from)}::timestamptz[])`,
    );
    return `CASE amount_currency ${cases.join(" ")} ELSE 0 END`;
  }

  /** A sum in the organization's currency, in minor units rounded half up; undefined where there is no rate. */
  unitsOf({ currency, units, place }: SumOfRate): bigint | undefined {
    if (currency === this.currency) return BigInt(units);
    const rate = this.#worth.get(currency)?.rates[place - 1];
    if (rate === undefined) return undefined;
    const [whole = "", fraction = ""] = rate.split(".");
    const digits = fraction.length + digitsOf(currency) - digitsOf(this.currency);
    const product = BigInt(units) * BigInt(whole + fraction);
    return digits > 0 ? divided(product, 10n ** BigInt(digits)) : product * 10n ** BigInt(-digits);
  }

  moneyOf(units: bigint): Money {
    return fromMinorUnits(units.toString(), this.currency);
  }
}

/** What sums add up to: in the organization's currency, by currency, and what is in the first not, for it has no rate. */
export function addedUp(sums: readonly (SumOfRate & { count: number })[], rates: Rates) {
  const without = sums.filter((sum) => rates.unitsOf(sum) === undefined);
  const total = (own: readonly SumOfRate[], currency: string) =>
    fromMinorUnits(own.reduce((all, { units }) => all + BigInt(units), 0n).toString(), currency);
  return {
    amount: rates.moneyOf(sums.reduce((all, sum) => all + (rates.unitsOf(sum) ?? 0n), 0n)),
    amounts: [...Map.groupBy(sums, ({ currency }) => currency)].map(([currency, own]) =>
      total(own, currency),
    ),
    withoutRate: [...Map.groupBy(without, ({ currency }) => currency)].map(([currency, own]) => ({
      amount: total(own, currency),
      count: own.reduce((all, { count }) => all + count, 0),
    })),
  };
}

const digitsOf = (currency: string): number => currencyDigits.get(currency) ?? 0;

/** This process's copy of each organization's rates. */
export class RateCache {
  readonly #organizations: Pick<Organizations, "of">;
  readonly #copies: CopiesByOrganization<ReadonlyMap<string, ReadonlyMap<string, Worth>>>;

  constructor({ database, organizations }: { database: Database; organizations: Pick<Organizations, "of"> }) {
    this.#organizations = organizations;
    this.#copies = new CopiesByOrganization((organizationId) => load(database, organizationId));
  }

  async of(organizationId: string): Promise<Rates> {
    const [{ currency }, all] = await Promise.all([
      this.#organizations.of(organizationId),
      this.#copies.of(organizationId),
    ]);
    return new Rates(currency, all.get(currency) ?? new Map<string, Worth>());
  }

  forget(organizationId: string): void {
    this.#copies.forget(organizationId);
  }
}

/** By the currency in which they are told, and then by currency. */
async function load(
  database: Database,
  organizationId: string,
): Promise<ReadonlyMap<string, ReadonlyMap<string, Worth>>> {
  const rows = await database.transaction({ organizationId }, (tx) =>
    tx.query<{ base: string; currency: string; from: string[]; rates: string[] }>({
      text: `SELECT base_currency AS base, currency, json_agg(valid_from ORDER BY valid_from) AS from, json_agg(rate ORDER BY valid_from) AS rates
        FROM rates WHERE deleted_at IS NULL GROUP BY base_currency, currency`,
    }),
  );
  return new Map(
    [...Map.groupBy(rows, ({ base }) => base)].map(([base, own]) => [
      base,
      new Map(own.map(({ currency, from, rates }) => [currency, { from, rates }])),
    ]),
  );
}
