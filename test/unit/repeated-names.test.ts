import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { countNames, repeatedName } from "../../mixins/contract/repeated-names.ts";
import { parseBody } from "../../services/gateway/body.ts";

test.each([
  ['{"a":1,"a":2}', ["a"]],
  ['{"a":1,"\\u0061":2}', ["a"]],
  ['{"a":{"a":1},"b":[{"a":1},{"a":1,"c":{"x":"}{,","y":[],"y":0}}]}', ["b", "1", "c", "y"]],
  ['{"":1,"":2}', [""]],
  ['{"a\\"":1,"a":2,"b":"a\\\\","a\\"":3}', ['a"']],
  ['{"__proto__":1,"__proto__":2}', ["__proto__"]],
])("in %s the second %j is found", (json, path) => {
  JSON.parse(json);
  expect(repeatedName(json)).toEqual(path);
});

test("of JSON that was written from a value no name stands twice, and all are counted", () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const json = JSON.stringify(value);
      expect(repeatedName(json)).toBeUndefined();
      let written = 0;
      JSON.parse(json, (_key, inner: unknown) => {
        if (inner !== null && typeof inner === "object" && !Array.isArray(inner))
          written += Object.keys(inner).length;
        return inner;
      });
      expect(countNames(JSON.parse(json))).toBe(written);
    }),
  );
});

test("a body with a name twice is refused, and the place is said", () => {
  const parse = (json: string) => parseBody({ headers: {} } as never, Buffer.from(json));
  expect(parse('{"a":":::","b":[{"a":1}]}')).toEqual({ a: ":::", b: [{ a: 1 }] });
  expect(() => parse('{"items":[{"email":"a@x.example","email":"b@x.example"}]}')).toThrow(
    expect.objectContaining({
      ...{ code: 400, type: "MALFORMED_JSON" },
      data: { errors: [expect.objectContaining({ path: "items.0.email", code: "duplicate_field" })] },
    }),
  );
});
