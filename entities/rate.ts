import { currency } from "../mixins/contract/schemas.ts";
import * as f from "../mixins/records/kind/fields.ts";
import { defineKind, type AnyRow, type RowOf } from "../mixins/records/kind/kind.ts";

const isCode = (value: unknown) => {
  const code = currency.safeParse(value);
  return code.success
    ? { value: code.data }
    : { code: "unknown_currency", message: "must be a currency of ISO 4217, such as USD" };
};
/** More than 0, exactly as it is written but for zeros that say nothing. */
const isRate = (value: unknown) => {
  const [, whole, fraction = ""] = /^0*(\d{1,12})(?:\.(\d{1,12}))?$/.exec(String(value)) ?? [];
  const plain = [whole, fraction.replace(/0+$/, "")].filter(Boolean).join(".");
  return whole !== undefined && /[1-9]/.test(plain)
    ? { value: plain }
    : {
        code: "invalid_rate",
        message:
          'must be a decimal over 0 in quotes, up to 12 digits before and after the point, such as "83.25"',
      };
};

/** What a currency is worth in the organization's own, from a moment on. */
export const rate = defineKind("rate", {
  plural: "rates",
  isSetting: true,
  title: ["source", "currency"],
  identifiedBy: ["currency"],
  defaultSort: "-validFrom",
  fields: {
    currency: f.always(f.text(3, { normalise: isCode, formExample: "a currency of ISO 4217" })),
    /** In which it is told: that of the organization when the rate was made. Where that is another by now the rate holds no more. */
    baseCurrency: f.byService(f.always(f.text(3))),
    /** What one unit of the currency is worth in the other. */
    rate: f.always(f.text(30, { normalise: isRate, isFilterable: false })),
    /** Whose it is, such as a bank. */
    source: f.text(200, { isFilterable: false }),
    /** Until the next one. Default: now. */
    validFrom: f.always(f.time({ isSortable: true })),
  },
  // from now on: two at one moment clash
  example: { currency: "USD", rate: "83.25" },
});
export type RateRow = RowOf<typeof rate> & AnyRow;
