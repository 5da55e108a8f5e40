import { parsePhoneNumberFromString } from "libphonenumber-js/min";

/**
 * Country of numbers written without + or 00. One for the installation, not a setting of each organization:
 * organizations live in the control database, and capturing a lead reads only its shard.
 */
export const defaultCountry = "IN";

/**
 * A phone number as people write it, as E.164; null when it cannot be one. Judged by its length for its country
 * (the small metadata of libphonenumber), not by whether the number range is in use.
 */
export function normalisePhone(input: string): string | null {
  const international = input.replace(/^\s*00/, "+");
  const parsed = parsePhoneNumberFromString(international, { defaultCountry, extract: false });
  return parsed?.isPossible() === true ? parsed.number : null;
}
