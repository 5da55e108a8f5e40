/** An exact decimal: `digits` × 10^-`scale`. */
export interface Decimal {
  digits: bigint;
  scale: number;
}

/** As PostgreSQL is asked too: no blanks, no exponent, a digit on both sides of the point. */
export const decimalPattern = "^[+-]?[0-9]+([.][0-9]+)?$";
const decimalText = new RegExp(decimalPattern);

/** A number as a plain decimal without an exponent, as PostgreSQL writes a jsonb's: 1e21 is "1000000000000000000000". */
export function plainNumber(value: number): string {
  const text = String(value);
  const [, sign = "", whole = "", fraction = "", exponent] =
    /^(-?)(\d+)(?:\.(\d+))?e([+-]\d+)$/.exec(text) ?? [];
  if (exponent === undefined) return text;
  const power = Number(exponent);
  if (power < 0) return `${sign}0.${"0".repeat(-power - 1)}${whole}${fraction}`;
  return `${sign}${whole}${fraction.padEnd(power, "0")}`;
}

/** Undefined for what is no decimal. */
export function decimalOf(value: unknown): Decimal | undefined {
  const text = typeof value === "number" ? plainNumber(value) : value;
  if (typeof text !== "string" || !decimalText.test(text)) return undefined;
  const [whole = "", fraction = ""] = text.replace("+", "").split(".");
  return { digits: BigInt(whole + fraction), scale: fraction.length };
}

/** Negative, 0 or positive. */
export function compareDecimals(one: Decimal, other: Decimal): number {
  const scale = Math.max(one.scale, other.scale);
  const difference = scaled(one, scale) - scaled(other, scale);
  return difference < 0n ? -1 : difference > 0n ? 1 : 0;
}
const scaled = ({ digits, scale }: Decimal, to: number): bigint =>
  scale === to ? digits : digits * 10n ** BigInt(to - scale);
