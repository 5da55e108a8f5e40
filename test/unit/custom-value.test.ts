import { describe, expect, test } from "@jest/globals";
import {
  checkCustomValue,
  readCustomCell,
  type CustomType,
  type CustomValue,
} from "../../mixins/values/custom-value.ts";

describe("a value of a custom field", () => {
  test.each<[CustomType, CustomValue | null]>([
    ["text", "abc"],
    ["number", 1.5],
    ["boolean", false],
    ["date", "2024-02-29"],
    ["date", "2024-02-29T23:59:59.999+05:30"],
    ["number", null],
  ])("of the type %s may be %j", (type, value) => {
    expect(checkCustomValue({ type }, value)).toBeUndefined();
  });

  test.each<[CustomType, CustomValue, RegExp]>([
    ["number", "abc", /must be a number/],
    ["number", "5", /must be a number/],
    ["number", NaN, /must be a number/],
    ["text", 5, /must be a text/],
    ["boolean", "yes", /must be true or false/],
    ["date", "tomorrow", /must be a day that there is/],
    ["date", "2026-02-30", /must be a day that there is/],
    ["date", "2026-02-28T25:00:00Z", /must be a day that there is/],
    ["date", "5", /must be a day that there is/],
    ["date", 20260228, /must be a day that there is/],
  ])("of the type %s may not be %j", (type, value, message) => {
    expect(checkCustomValue({ type }, value)).toEqual({
      code: "wrong_type",
      message: expect.stringMatching(message),
    });
  });
});

describe("a cell of a custom field", () => {
  test.each<[CustomType, string, CustomValue]>([
    ["text", "007", "007"],
    ["number", "1.10", 1.1],
    ["number", "+007", 7],
    ["number", "-0.50", -0.5],
    ["number", "9007199254740991", 9007199254740991],
    ["boolean", "Yes", true],
    ["boolean", "0", false],
    ["date", "2024-02-29", "2024-02-29"],
  ])("of the type %s, %j, is %j", (type, cell, value) => {
    expect(readCustomCell({ type }, cell)).toEqual({ value });
  });

  test.each<[CustomType, string]>([
    ["number", "abc"],
    ["number", "1,234"],
    ["number", "9007199254740993"],
    ["number", "."],
    ["number", "Infinity"],
    ["boolean", "maybe"],
    ["date", "tomorrow"],
    ["date", "2026-02-30"],
  ])("of the type %s, %j, is none", (type, cell) => {
    expect(readCustomCell({ type }, cell)).toMatchObject({ code: "wrong_type" });
  });
});
