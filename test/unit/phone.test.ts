import { describe, expect, test } from "@jest/globals";
import type { CountryCode } from "libphonenumber-js";
import { normalisePhone, phoneForms, phoneKey, readPhone } from "../../mixins/values/phone.ts";

describe("a phone", () => {
  test.each<[string, CountryCode, string]>([
    ["9876543210.0", "IN", "+919876543210"],
    ["+5215512345678", "IN", "+525512345678"],
    ["tel:+91-98765-43210", "IN", "+919876543210"],
    ["tel:+91-22-2345-6789;ext=12", "IN", "+912223456789;ext=12"],
    ["\u202a+91 98765 43210\u202c", "IN", "+919876543210"],
    ["\u200e+91\u00a098765\u00a043210\u2069", "IN", "+919876543210"],
    ["'+919876543210", "IN", "+919876543210"],
    ["+91 22 2345 6789 ext. 12", "IN", "+912223456789;ext=12"],
    ["+91 22 2345 6789 x12", "IN", "+912223456789;ext=12"],
    ["022 2345 6789, ext 12", "IN", "+912223456789;ext=12"],
    ["+912223456789;ext=12", "IN", "+912223456789;ext=12"],
    ["022-23456789", "IN", "+912223456789"],
    ["(415) 555-2671", "US", "+14155552671"],
    ["0711/1234567", "DE", "+497111234567"],
    ["+49 711/1234567", "IN", "+497111234567"],
    ["0049 (711) 1234567", "IN", "+497111234567"],
    ["+55 11 98765-4321", "IN", "+5511987654321"],
    ["+55 11 8765-4321", "IN", "+551187654321"],
    ["٩٨٧٦٥٤٣٢١٠", "IN", "+919876543210"],
    ["९८७६५ ४३२१०", "IN", "+919876543210"],
  ])("%j in %s is %s", (written, country, expected) => {
    expect(readPhone(written, country)).toEqual({ phone: expected });
    // what is stored stays as it is
    expect(readPhone(expected, "US")).toEqual({ phone: expected });
  });

  test.each<[string, CountryCode, RegExp]>([
    ["022-23456789/90", "IN", /more than one number/],
    ["98765 43210 / 98765 43211", "IN", /more than one number/],
    ["98765 43210, 98765 43211", "IN", /more than one number/],
    ["98765 43210 or 98765 43211", "IN", /more than one number/],
    ["(415) 555-2671", "IN", /no number as IN writes them/],
    ["415-555-2671", "IN", /no number as IN writes them/],
    ["9.87654E+09", "IN", /lost its digits in a spreadsheet/],
    ["1-800-FLOWERS", "US", /characters that no phone number has/],
    ["n/a", "IN", /has no digits/],
    ["12", "IN", /is not a phone number/],
    ["+12", "IN", /is not a phone number/],
  ])("%j in %s is refused in words", (written, country, doubt) => {
    expect(readPhone(written, country)).toEqual({ doubt: expect.stringMatching(doubt) });
    expect(normalisePhone(written, country)).toBeNull();
  });

  test.each([
    ["+5511987654321", "+551187654321"],
    ["+5491123456789", "+541123456789"],
    ["+5215512345678", "+525512345678"],
    ["+5511987654321;ext=1", "+551187654321;ext=1"],
  ])("%s rings where %s does", (one, other) => {
    expect(phoneKey(one)).toBe(phoneKey(other));
    expect(phoneForms(one)).toEqual(expect.arrayContaining([one, other]));
    expect(phoneForms(other)).toEqual(expect.arrayContaining([one, other]));
  });

  test.each([
    ["+551133334444", "+5511933334444"],
    ["+912223456789", "+912223456789;ext=12"],
    ["+15512345678", "+5215512345678"],
  ])("%s is another than %s", (one, other) => {
    expect(phoneKey(one)).not.toBe(phoneKey(other));
    expect(phoneForms(one)).not.toContain(other);
  });
});
