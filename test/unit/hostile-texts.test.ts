import { expect, test } from "@jest/globals";
import { price } from "../../mixins/contract/schemas.ts";
import { repeatedName } from "../../mixins/contract/repeated-names.ts";
import { isLike } from "../../mixins/records/conditions/texts.ts";
import { safeFileName } from "../../mixins/upload/file-name.ts";
import { customTypes, readCustomValue } from "../../mixins/values/custom-value.ts";
import { readPhone } from "../../mixins/values/phone.ts";
import { parseBody } from "../../services/gateway/body.ts";

const long = 300_000;
const body = (json: string) => parseBody({ headers: {} } as never, Buffer.from(json));
const amounts = (amount: string) => price.safeParse({ amount, currency: "INR" });
/** Each once took time that grows with the square of its length, or would with another pattern: hours, for these. */
const readings: Record<string, () => unknown> = {
  "an amount of zeros": () => amounts(`${"0".repeat(long)}x`),
  "an amount of zeros and a point": () => amounts(`${"0".repeat(long)}.`),
  "a phone of line breaks": () => readPhone(`a${"\r\n".repeat(long)}!`),
  "a phone of extensions": () => readPhone(`1${" ext".repeat(long)}`),
  "a file name of points": () => safeFileName(`a${". ".repeat(long)}!`),
  "a number of digits": () => body(`{"a":1${"0".repeat(300)}.${"1".repeat(long)}}`),
  "a body of brackets in a text": () => body(`{"a":"${"{[:".repeat(long)}"}`),
  "a name that stands twice, far behind": () =>
    repeatedName(`{${Array.from({ length: 50_000 }, (_, at) => `"k${at}":{},`).join("")}"k1":0}`),
  "a pattern of wildcards": () => isLike("a".repeat(long), `*${"aaaaaaaaab*".repeat(30_000)}`),
  ...Object.fromEntries(
    ["0", "a@", "a.", "-", " ", "\r\n", "://a", "1,"].map((piece) => [
      `custom values of ${JSON.stringify(piece)}`,
      () => {
        for (const type of customTypes) {
          const value = `${piece.repeat(long)}!`;
          readCustomValue({ type, options: [] }, value);
          readCustomValue({ type, options: [] }, { amount: value, currency: "INR" });
        }
      },
    ]),
  ),
};

test.each(Object.entries(readings))("%s is read, or refused, at once", (_what, read) => {
  const before = process.cpuUsage();
  try {
    read();
  } catch {
    // how it is refused is tried elsewhere
  }
  const { user, system } = process.cpuUsage(before);
  expect((user + system) / 1000).toBeLessThan(1_000);
});
