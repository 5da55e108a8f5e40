import { currencyDigits } from "../../mixins/contract/currencies.ts";

/** A whole number as people and spreadsheets write it: `1,200`, `12,00,000`, `1200.0`; undefined where it is none. */
export function integerOf(cell: string): number | undefined {
  const plain = cell.replace(/\.0+$/, "");
  if (!/^[+-]?(\d+|\d{1,3}(,\d{2,3})*,\d{3})$/.test(plain)) return undefined;
  const number = Number(plain.replaceAll(",", ""));
  return Number.isSafeInteger(number) ? number : undefined;
}

/** Yes or no, however that is written; undefined where it is neither. */
export function yesOrNo(cell: string): boolean | undefined {
  if (/^(yes|y|true|1)$/i.test(cell)) return true;
  return /^(no|n|false|0)$/i.test(cell) ? false : undefined;
}

/**
 * An amount: JSON as an export writes it, `1500.50 INR`, `INR 1,500.50`, or without a currency, which is `currency` then.
 * Its digits are those of its currency.
 */
export function amountOf(
  cell: string,
  currency: string | undefined,
): { money: { amount: string; currency: string } } | { doubt: string } {
  const { amount, code = currency, isDoubtful = false } = written(cell);
  if (amount === undefined) return { doubt: "is no amount; write it as 1500.50 INR" };
  if (code === undefined)
    return { doubt: "names no currency; write it as 1500.50 INR, or name the file's `currency`" };
  const digits = currencyDigits.get(code);
  if (digits === undefined) return { doubt: "names no currency of ISO 4217" };
  // a comma before the digits that the currency has may be that of its decimals
  if (isDoubtful && digits > 2)
    return { doubt: `may be thousands or decimals of ${code}; write it with a point, as 1234.000 ${code}` };
  const [whole = "", part = ""] = amount.split(".");
  const minor = part.replace(/0+$/, "");
  if (minor.length > digits) return { doubt: `has more digits than ${code} has` };
  const shown = digits === 0 ? whole : `${whole}.${minor.padEnd(digits, "0")}`;
  return { money: { amount: shown, currency: code } };
}

function written(cell: string): { amount?: string; code?: string; isDoubtful?: boolean } {
  const json = cell.startsWith("{") ? parsed(cell) : undefined;
  const found = json
    ? [json.amount, json.currency]
    : (/^(?:([A-Za-z]{3})\s+)?(\d[\d,]*(?:\.\d+)?)(?:\s+([A-Za-z]{3}))?$/.exec(cell) ?? []).slice(1);
  const [amount, code] = json ? found : [found[1], found[0] ?? found[2]];
  if (typeof amount !== "string" || !/^(\d+|\d{1,3}(,\d{2,3})*,\d{3})(\.\d+)?$/.test(amount)) return {};
  const plain = amount.replaceAll(",", "").replace(/^0+(?=\d)/, "");
  return {
    amount: plain,
    // 1,234 and 12,345 of both readings; not 1,234,567 or 1,234.000
    isDoubtful: /^\d{1,3},\d{3}$/.test(amount),
    ...(typeof code === "string" && { code: code.toUpperCase() }),
  };
}

function parsed(cell: string): { amount?: unknown; currency?: unknown } | undefined {
  try {
    return JSON.parse(cell) as { amount?: unknown };
  } catch {
    return undefined;
  }
}
