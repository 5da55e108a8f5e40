import { text } from "node:stream/consumers";
import type { Readable } from "node:stream";
import fc from "fast-check";
import type { Meta } from "../../mixins/contract/meta.ts";
import { importKeysOf } from "../../mixins/records/importing/keys.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import { targetsOf, type Target } from "../../services/imports/targets.ts";
import type { TestNode } from "./node.ts";

const word = fc.string({
  unit: fc.constantFrom("a", "Z", " ", ",", ";", '"', "'", "=", "+", "-", "@", "é", "प", "\n", "1"),
  minLength: 1,
  maxLength: 12,
});
/** A text as people write it, with what files have trouble with. */
const plainText = word.filter((value) => value.trim() !== "" && value === value.trim());

/** What only some records may have: reasons of deals that are lost. */
const conditional = new Set(["lostReason"]);

/** Any input of a kind that may be made, without references; the keys but the external id are the caller's to give. */
export function anyInput(kind: AnyKind): fc.Arbitrary<Record<string, unknown>> {
  const keys = importKeysOf(kind).filter((key) => kind.fields[key]?.format !== "phone");
  const fields = [...targetsOf(kind).targets].flatMap(([name, target]) => {
    const isFree = !keys.includes(name) && target.field.setBy === "caller" && !conditional.has(name);
    const value = isFree ? anyValue(name, target) : undefined;
    return value ? [[name, value] as const] : [];
  });
  return fc.record(Object.fromEntries(fields), { requiredKeys: [] });
}

function anyValue(name: string, { reading, field }: Target): fc.Arbitrary<unknown> | undefined {
  switch (reading) {
    case "text":
      return field.stored === "text" ? plainText : undefined;
    case "phone":
      return fc.constantFrom("+919876543210", "+912223456789;ext=12", "+551187654321");
    case "choice":
      return fc.constantFrom(...(field.values ?? []).filter((one) => !field.notGiven?.includes(one)));
    case "integer":
      return fc.integer({ min: 0, max: 1_000_000 });
    case "money":
      return fc.constantFrom({ amount: "1234.50", currency: "INR" }, { amount: "7", currency: "JPY" });
    case "tags":
      return fc.uniqueArray(plainText, { maxLength: 3 });
    case "object":
      if (name === "customFields")
        return fc.dictionary(fc.constantFrom("city", "seats", "isBig", "due"), plainText, { maxKeys: 3 });
      if (name === "consent")
        return fc.dictionary(fc.constantFrom("email", "sms"), fc.oneof(fc.boolean(), plainText));
      return fc.record({ city: plainText, street: plainText }, { requiredKeys: [] });
    default:
      return undefined;
  }
}

/** The CSV that an export writes. */
export const exported = async (
  node: TestNode,
  kind: Pick<AnyKind, "plural">,
  meta: Meta,
  params: Record<string, unknown> = {},
): Promise<string> =>
  text(
    await node.broker.call<Readable, object>(`${kind.plural}.export`, params, {
      meta: { ...meta },
      timeout: 60_000,
    }),
  );
