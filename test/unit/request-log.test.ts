import { expect, test } from "@jest/globals";
import { isLogged } from "../../services/gateway/request-log.ts";

const seldom = 0.009;
const often = 0.011;
test.each([
  ["off", 500, 5_000, 0, false],
  ["errors", 200, 999, seldom, false],
  ["errors", 200, 1_000, often, true],
  ["errors", 399, 1, seldom, false],
  ["errors", 400, 1, often, true],
  ["errors", 500, 1, often, true],
  ["errors", 429, 1, often, false],
  ["errors", 429, 1, seldom, true],
  ["errors", 503, 1, often, false],
  ["errors", 503, 1_000, often, true],
  ["sampled", 200, 1, seldom, true],
  ["sampled", 200, 1, often, false],
  ["sampled", 404, 1, often, true],
  ["all", 200, 1, often, true],
  ["all", 429, 1, often, true],
] as const)("with %s a %d after %d ms, drawn %d, is logged: %s", (setting, status, ms, random, expected) => {
  expect(isLogged(setting, { status, ms }, random)).toBe(expected);
});
