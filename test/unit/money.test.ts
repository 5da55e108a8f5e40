import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { fieldErrors } from "../../mixins/contract/field-errors.ts";
import { currencyDigits } from "../../mixins/contract/currencies.ts";
import { price } from "../../mixins/contract/schemas.ts";

const problems = (amount: unknown, currency: unknown): string[] => {
  const parsed = price.safeParse({ amount, currency });
  return parsed.success ? [] : fieldErrors(parsed.error).map(({ path, message }) => `${path} ${message}`);
};

describe("a price", () => {
  test.each([
    ["1234.5", "INR", "1234.50"],
    ["5", "INR", "5.00"],
    ["0", "USD", "0.00"],
    ["-0.00", "USD", "0.00"],
    ["007", "EUR", "7.00"],
    ["12.345", "KWD", "12.345"],
    ["1500", "JPY", "1500"],
    ["1.2345", "CLF", "1.2345"],
    ["9999999999999999.99", "INR", "9999999999999999.99"],
  ])("of %s %s is %s", (amount, currency, kept) => {
    expect(price.parse({ amount, currency })).toEqual({ amount: kept, currency });
  });

  test.each([
    ["-5", "INR", "amount must be a price: 0 or more"],
    ["1.234", "INR", "amount INR has 2 digits after the point"],
    ["1.2345", "KWD", "amount KWD has 3 digits after the point"],
    ["1.0", "JPY", "amount JPY has no digits after the point"],
    ["10000000000000000", "INR", "amount may have up to 16 digits before the point"],
    ["1,5", "INR", 'amount must be a decimal in quotes, such as "1234.50"'],
    ["1e3", "INR", 'amount must be a decimal in quotes, such as "1234.50"'],
    [".5", "INR", 'amount must be a decimal in quotes, such as "1234.50"'],
    ["5", "ZZZ", "currency must be a currency of ISO 4217, such as INR, USD or KWD"],
    ["5", "XAU", "currency must be a currency of ISO 4217, such as INR, USD or KWD"],
    ["5", "inr", "currency must be a currency of ISO 4217, such as INR, USD or KWD"],
    ["5", "constructor", "currency must be a currency of ISO 4217, such as INR, USD or KWD"],
  ])("of %s %s is refused: %s", (amount, currency, problem) => {
    expect(problems(amount, currency)).toEqual([problem]);
  });

  test("is never a number", () => {
    expect(problems(5, "INR")).toHaveLength(1);
  });

  test("keeps its value in every currency, with that currency's digits", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...currencyDigits),
        fc.bigInt({ min: 0n, max: 10n ** 16n - 1n }),
        ([currency, digits], units) => {
          const text = units.toString().padStart(digits + 1, "0");
          const amount = digits === 0 ? text : `${text.slice(0, -digits)}.${text.slice(-digits)}`;
          expect(price.parse({ amount, currency })).toEqual({ amount, currency });
        },
      ),
    );
  });

  test("is of every currency that node knows but those no longer in use and those of banks", () => {
    expect([...currencyDigits.keys()].filter((code) => !/^[A-Z]{3}$/.test(code))).toEqual([]);
    const unknown = Intl.supportedValuesOf("currency").filter((code) => !currencyDigits.has(code));
    expect(unknown).toEqual(["ANG", "CUC", "HRK", "SLL", "XDR", "XSU", "ZWL"]);
  });
});
