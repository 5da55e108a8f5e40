import { expect, test } from "@jest/globals";
import { replLevel, shorten } from "../../mixins/process/repl-log.ts";

test("a record becomes a line for people", () => {
  const time = new Date(2026, 10, 28, 12, 3, 11).getTime();
  const line = (fields: object) => shorten(JSON.stringify({ level: 40, time, ...fields }));
  expect(line({ mod: "database", msg: "connection lost" })).toBe("12:03:11 WARN database: connection lost");
  expect(line({ msg: "GET / failed", err: { message: "why" } })).toBe("12:03:11 WARN GET / failed: why");
  expect(shorten("no record\n")).toBe("no record");
});

test("at a REPL nothing below a warning is told, unless more is asked for", () => {
  expect((["fatal", "error", "warn", "info", "debug"] as const).map(replLevel)).toEqual([
    "fatal",
    "error",
    "warn",
    "warn",
    "debug",
  ]);
});
