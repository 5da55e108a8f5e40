import { isDeepStrictEqual } from "node:util";
import type { DealRow } from "../../entities/deal.ts";
import { invalid, invalidField, type FieldError } from "../contract/errors.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import { fromMinorUnits, mostDigits, toMinorUnits } from "../records/kind/fields.ts";

type LineItem = DealRow["line_items"][number];
/** What line items take from their products. */
export type Priced = ReadonlyMap<string, Pick<LineItem, "name" | "unitPrice">>;
type Given = Readonly<Record<string, unknown>>;

/** Looks for the products of line items that lack a name or a price. No statement, where none does. */
export async function productsOf(tx: Pick<UnitOfWork, "query">, items: readonly Given[]): Promise<Priced> {
  const lacking = items.filter(({ name, unitPrice }) => name == null || unitPrice == null);
  const ids = new Set(lacking.map(({ productId }) => productId).filter((id) => typeof id === "string"));
  if (ids.size === 0) return new Map();
  const rows = await tx.query<{
    id: string;
    name: string | null;
    unit_price: string | null;
    unit_price_currency: string | null;
  }>({
    text: "SELECT id, name, unit_price::text, unit_price_currency FROM products WHERE id = ANY ($1) AND deleted_at IS NULL",
    values: [[...ids]],
  });
  return new Map(
    rows.map(({ id, name, unit_price: units, unit_price_currency: currency }) => [
      id,
      { name, unitPrice: units === null || currency === null ? null : fromMinorUnits(units, currency) },
    ]),
  );
}

/**
 * A deal whose line items are whole, and whose amount is their sum. Pure.
 * @param before null for a new one
 * @throws 422 for an item without name or price, another currency than the first, an amount that is given and is not the sum
 */
export function priced(before: DealRow | null, row: DealRow, products: Priced): DealRow {
  if (row.line_items.length === 0) return row;
  const isSame = isDeepStrictEqual(before?.line_items, row.line_items);
  const items = isSame ? row.line_items : row.line_items.map((item) => whole(item, products));
  if (!isSame) requireWhole(items);
  const sum = sumOf(items);
  const isGiven =
    row.amount !== null && (row.amount !== before?.amount || row.amount_currency !== before.amount_currency);
  if (isGiven && (row.amount !== sum.units || row.amount_currency !== sum.currency)) {
    const { amount, currency } = fromMinorUnits(sum.units, sum.currency);
    throw invalid([
      {
        ...{ path: "amount", code: "not_the_sum", allowed: [`${amount} ${currency}`] },
        message: "must be the sum of the line items, or left out",
      },
    ]);
  }
  return { ...row, line_items: items, amount: sum.units, amount_currency: sum.currency };
}

function whole(item: LineItem, products: Priced): LineItem {
  const product = products.get(item.productId ?? "");
  return {
    ...item,
    name: item.name ?? product?.name ?? null,
    quantity: item.quantity ?? 1,
    unitPrice: item.unitPrice ?? product?.unitPrice ?? null,
    discount: item.discount ?? 0,
  };
}

function requireWhole(items: readonly LineItem[]): void {
  const problems: FieldError[] = [];
  const currency = items[0]?.unitPrice?.currency;
  for (const [index, { name, unitPrice }] of items.entries()) {
    const path = `lineItems.${index}`;
    const required = { code: "required", message: "must be given where there is no product that has one" };
    if (name === null) problems.push({ path: `${path}.name`, ...required });
    if (unitPrice === null) problems.push({ path: `${path}.unitPrice`, ...required });
    else if (currency !== undefined && unitPrice.currency !== currency)
      problems.push({
        ...{ path: `${path}.unitPrice.currency`, code: "another_currency", allowed: [currency] },
        message: "must be that of the first item: a deal has one amount",
      });
  }
  if (problems.length > 0) throw invalid(problems);
}

/** What whole items add up to. @throws 422 where that is more than money may be */
function sumOf(items: readonly LineItem[]): { units: string; currency: string } {
  const units = items
    .map(totalOf)
    .reduce((all, one) => all + one, 0n)
    .toString();
  if (units.length > mostDigits)
    throw invalidField("lineItems", "too_large", `may add up to an amount of ${mostDigits} digits`);
  return { units, currency: items[0]?.unitPrice?.currency ?? "" };
}

const [quantityDigits, discountDigits] = [3, 2];
/** Minor units of an item, rounded half up. */
function totalOf({ quantity, unitPrice, discount }: LineItem): bigint {
  const price = BigInt(unitPrice === null ? "0" : toMinorUnits(unitPrice));
  const all = 10n ** BigInt(discountDigits) * 100n;
  const product =
    price * scaled(quantity ?? 1, quantityDigits) * (all - scaled(discount ?? 0, discountDigits));
  return divided(product, all * 10n ** BigInt(quantityDigits));
}

/** A number of so many digits after the point without the point: exactly, as it is written. */
function scaled(value: number, digits: number): bigint {
  const [integer = "0", fraction = ""] = String(value).split(".");
  return BigInt(integer + fraction.padEnd(digits, "0"));
}

/** Rounded half up; of what is 0 or more. */
export const divided = (dividend: bigint, divisor: bigint): bigint =>
  (dividend * 2n + divisor) / (divisor * 2n);
