import { describe, expect, test } from "@jest/globals";
import { z } from "zod";
import type { ActionSpec } from "../../mixins/contract/contract.ts";
import { boundedErrors, type FieldError } from "../../mixins/contract/errors.ts";
import { fieldErrors } from "../../mixins/contract/field-errors.ts";
import { unworded } from "../../mixins/contract/sentences.ts";
import { clientMessages } from "../../services/gateway/realtime/realtime.messages.ts";
import { contracts } from "../../services/contracts.ts";
import { jsonSchemaOf, placesOf } from "../support/wrong-values.ts";

const wrong = [
  ...[undefined, null, true, NaN, -1, 0, 0.5, 1e30],
  ...["", " ", "x", "\0", "\ud800", "0000-01-01", "x".repeat(10_000)],
  ...[[], [null], ["x"], Array.from({ length: 2_000 }, () => "x"), {}, { nosuch: 1 }, { "": null }],
];
/** zod's own words, and schemas that say too little. */
const isRaw = (message: string) =>
  /invalid|\bexpected\b|received|unrecognized|too (big|small)|pattern|undefined|\binput\b/i.test(message)
  || message === unworded
  || message === "";

const schemas: [string, z.ZodType][] = [
  ...contracts.flatMap(({ name, actions }) =>
    Object.entries<ActionSpec>(actions).map(([key, spec]): [string, z.ZodType] => [
      `${name}.${key}`,
      spec.params,
    ]),
  ),
  ...Object.entries(clientMessages).map(([name, schema]): [string, z.ZodType] => [`socket ${name}`, schema]),
];

test.each(schemas)("%s tells in words what is allowed wherever a value is wrong", (_name, schema) => {
  const raw = new Map<string, string>();
  for (const place of placesOf(jsonSchemaOf(schema)))
    for (const value of wrong) {
      const parsed = schema.safeParse(place.holding(value));
      if (parsed.success) continue;
      const errors = fieldErrors(parsed.error);
      expect(errors.length).toBeGreaterThan(0);
      for (const { path, code, message } of errors)
        if (isRaw(message) || code === "") raw.set(`${path} ${code}`, message);
    }
  expect([...raw]).toEqual([]);
});

const errorsOf = (schema: z.ZodType, value: unknown, hidden?: string[]): FieldError[] =>
  fieldErrors(schema.safeParse(value).error as z.ZodError, hidden);

describe("an error", () => {
  test.each<[string, z.ZodType, unknown, Partial<FieldError>]>([
    ["of a type", z.string(), 1, { code: "invalid_type", message: "Must be text." }],
    ["of nothing", z.object({ a: z.number() }), {}, { path: "a", message: "Is required: a number." }],
    ["of a number in a query", z.coerce.number(), "abc", { message: "Must be a number." }],
    ["of a length", z.string().min(10), "x", { message: "Must have at least 10 characters." }],
    ["of an empty text", z.string().min(1), "", { message: "May not be empty." }],
    ["of a bound", z.number().max(200), 201, { message: "Must be at most 200." }],
    ["of an open bound", z.number().positive(), 0, { message: "Must be more than 0." }],
    [
      "of an enum names its values",
      z.enum(["new", "won"]),
      "x",
      { message: "Must be new or won.", allowed: ["new", "won"] },
    ],
    [
      "of a union of types names them",
      z.union([z.string(), z.number()]),
      [],
      { message: "Must be text or a number." },
    ],
    [
      "of a union of texts says both",
      z.union([z.enum(["none"]), z.array(z.string()), z.enum(["all"])]),
      "x",
      { message: "Must be none, or must be all.", allowed: ["none"] },
    ],
    [
      "inside of one form of a union is said of its place",
      z.union([z.string(), z.strictObject({ gte: z.number() })]),
      { gte: "x" },
      { path: "gte", message: "Must be a number." },
    ],
    [
      "of a key says what keys are",
      z.record(z.string().regex(/^a/, "keys begin with a"), z.number()),
      { b: 1 },
      { path: "b", code: "invalid_key", message: "keys begin with a" },
    ],
  ])("%s", (_name, schema, value, error) => {
    expect(errorsOf(schema, value)).toEqual([expect.objectContaining(error)]);
  });

  test("of an unknown key names those that there are, but for those nobody may send", () => {
    const schema = z.strictObject({ id: z.string(), name: z.string().optional(), ip: z.string().optional() });
    expect(errorsOf(schema.partial(), { nam: "x" }, ["id", "ip"])).toEqual([
      { path: "nam", code: "unknown_field", message: "There is no such field.", allowed: ["name"] },
    ]);
    expect(errorsOf(z.strictObject({ of: z.array(schema) }), { of: [{ id: "1", x: 1 }] })[0]).toMatchObject({
      path: "of.0.x",
      allowed: ["id", "name", "ip"],
    });
  });

  test("that repeats what a client sent is bounded, and there are a hundred at most, with their number", () => {
    const keys = Array.from({ length: 80_000 }, (_, index) => `${index}`.padEnd(1_000, "\ud800"));
    const bounded = boundedErrors(
      errorsOf(z.strictObject({}), Object.fromEntries(keys.map((key) => [key, 1]))),
    );
    expect(bounded.errors).toHaveLength(100);
    expect(bounded.errorCount).toBe(80_000);
    expect(JSON.stringify(bounded).length).toBeLessThan(50_000);
    expect(bounded.errors.every(({ path }) => path.isWellFormed())).toBe(true);
  });
});
