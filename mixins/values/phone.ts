import {
  getCountries,
  getCountryCallingCode,
  isSupportedCountry,
  parsePhoneNumberFromString,
  type CountryCode,
  type PhoneNumber,
} from "libphonenumber-js/max";

import { invisible } from "./cells.ts";

export type { CountryCode };

/** Country of numbers written without + or 00, where neither the organization nor an import names another. */
export const defaultCountry: CountryCode = "IN";

/** Countries (ISO 3166-1 alpha-2) whose numbers are known. */
export const phoneCountries = getCountries() as [CountryCode, ...CountryCode[]];
export const isPhoneCountry: (code: string) => code is CountryCode = isSupportedCountry;

/** Characters of a number as anybody writes it, marks and extension included; what is longer is not looked into. */
const longestWritten = 200;

/** A number as it is stored, or why it cannot be told which number it is, as words that follow the number. */
export type PhoneReading = { phone: string } | { doubt: string };

const extension = /(?:;\s*ext\s*=|,?\s*(?:\bext(?:ension|n)?\b|(?<![a-z])x|#|доб)\s*[.:]?)\s*(\d{1,8})$/i;

/**
 * Reads a phone number as people and spreadsheets write it: E.164, and `;ext=12` (RFC 3966) behind it for an extension.
 * Known noise is taken off: `tel:`, marks that nobody sees, the `.0` of a spreadsheet. In doubt it is refused rather than
 * guessed: what may be two numbers; a number without country code that is written as in another country, or as the country
 * named writes none. A number with its country code is judged by its length, not by whether its range is in use.
 * @param country of a number without + or 00
 */
export function readPhone(input: string, country: CountryCode = defaultCountry): PhoneReading {
  if (input.length > longestWritten) return { doubt: "is longer than a phone number" };
  const plain = input
    .normalize("NFKC")
    .replaceAll(invisible, "")
    .replaceAll(/(?![0-9])\p{Nd}/gu, latinDigit)
    .replace(/^['\s]*(?:tel:\s*)?/i, "")
    .replace(/;phone-context=\+(\d+)/i, "")
    .trim()
    .replace(/^(\+?\d{6,15})\.0+$/, "$1");
  const ext = extension.exec(plain);
  const written = ext ? plain.slice(0, ext.index).trim() : plain;
  const doubt = doubtOf(written);
  if (doubt !== undefined) return { doubt };
  const international = written.replace(/^\(?00/, "+").replace(/^\(\+/, "+");
  const number = international.startsWith("+")
    ? readInternational(international)
    : readNational(international, country);
  if (typeof number !== "string") return number;
  return { phone: ext ? `${number};ext=${ext[1]}` : number };
}

/** As `readPhone`; null in doubt. */
export function normalisePhone(input: string, country?: CountryCode): string | null {
  const reading = readPhone(input, country);
  return "phone" in reading ? reading.phone : null;
}

/** Zeros of the scripts whose digits people write numbers with: Arabic, Persian, those of India, Thai, Lao, Tibetan, Burmese. */
const zeros = [
  ...[0x660, 0x6f0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66],
  ...[0xe50, 0xed0, 0xf20, 0x1040],
];
function latinDigit(digit: string): string {
  const code = digit.codePointAt(0) ?? 0;
  const zero = zeros.find((first) => code >= first && code <= first + 9);
  return zero === undefined ? digit : String(code - zero);
}

function doubtOf(written: string): string | undefined {
  if (!/\d/.test(written)) return "has no digits";
  if (/^[\d.,]+e[+-]?\d+$/i.test(written))
    return "has lost its digits in a spreadsheet; take it from where it came from";
  // 0711/123456 has its area code in front; 23456789/90 are two numbers
  const [front = "", ...others] = written.split("/");
  const isAreaCode =
    others.length === 1 && /^\D*(?:\d\D*){2,6}$/.test(front) && /(?:\d\D*){4}/.test(others[0] ?? "");
  if (/[,;|&\n]|\b(?:or|and|und|ou|y)\b/i.test(written) || (others.length > 0 && !isAreaCode))
    return "may be more than one number; write one";
  if (!/^\+?[\d\s().\-/‐-―−·]+$/.test(written)) return "has characters that no phone number has";
  return undefined;
}

const noNumber = "is not a phone number; write it with + and the country code";

function readInternational(written: string): string | { doubt: string } {
  const parsed = parsePhoneNumberFromString(withoutOldDigits(written.replaceAll(/[^+\d]/g, "")), {
    extract: false,
  });
  return parsed?.isPossible() === true ? parsed.number : { doubt: noNumber };
}

function readNational(written: string, country: CountryCode): string | { doubt: string } {
  const digits = written.replaceAll(/\D/g, "");
  const parsed = parsePhoneNumberFromString(digits, { defaultCountry: country, extract: false });
  if (parsed?.isPossible() !== true) return { doubt: noNumber };
  if (parsed.countryCallingCode !== getCountryCallingCode(country) || !isWrittenAsIn(parsed, digits))
    return { doubt: `is no number as ${country} writes them; write it with + and the country code` };
  return parsed.number;
}

/**
 * Whether a country writes a number so: it is in use there, and begins with the prefix that its landlines are written with.
 * Only mobile numbers go without, which spreadsheets take off.
 */
function isWrittenAsIn(number: PhoneNumber, digits: string): boolean {
  const type = number.getType();
  if (type === undefined) return false;
  const national = number.formatNational().replaceAll(/\D/g, "");
  if (type.includes("MOBILE") || national === number.nationalNumber) return true;
  if (digits === number.countryCallingCode + number.nationalNumber) return true;
  return digits.startsWith(national.slice(0, national.length - number.nationalNumber.length));
}

/** The country of a stored number; undefined for one of no country, such as +800. */
export const countryOfPhone = (phone: string): CountryCode | undefined =>
  parsePhoneNumberFromString(phone.split(";")[0] ?? "", { extract: false })?.country;

/** Mexico has given up the 1 before mobile numbers (2019): such a number is dialled without it. */
const withoutOldDigits = (digits: string): string => digits.replace(/^\+521(\d{10})$/, "+52$1");

/**
 * What a stored number is compared by: numbers that ring at one phone have one. Brazil's mobile numbers have had a ninth digit
 * since 2016, and Argentina's have a 9 from abroad, which address books and WhatsApp leave out; Mexico's had a 1. Numbers are stored as they were
 * given, and only compared by this.
 */
export function phoneKey(phone: string): string {
  const [number = "", ...rest] = phone.split(";");
  const key = withoutOldDigits(number)
    .replace(/^\+55([1-9]\d)([6-9]\d{7})$/, "+55$19$2")
    .replace(/^\+54(\d{10})$/, "+549$1");
  return [key, ...rest].join(";");
}

/** All forms in which a number may be stored: those with one `phoneKey`, the number's own first. */
export function phoneForms(phone: string): string[] {
  const [key = "", ...rest] = phoneKey(phone).split(";");
  const others = [
    key,
    key.replace(/^\+55([1-9]\d)9([6-9]\d{7})$/, "+55$1$2"),
    key.replace(/^\+549(\d{10})$/, "+54$1"),
    key.replace(/^\+52(\d{10})$/, "+521$1"),
  ];
  return [...new Set([phone, ...others.map((other) => [other, ...rest].join(";"))])];
}
