import { randomBytes } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { OrganizationCipher } from "../../mixins/encryption/organization-cipher.ts";

const dataKey = randomBytes(32);
const cipher = new OrganizationCipher(dataKey);
const context = { table: "channels", column: "token", row: "01900000-0000-7000-8000-000000000001" };

describe("a sealed value", () => {
  test("opens as it was, and looks different each time", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => {
        const sealed = cipher.seal(context, text);
        expect(new OrganizationCipher(dataKey).open(context, sealed)).toBe(text);
        expect(cipher.seal(context, text).equals(sealed)).toBe(false);
        if (text.length > 3) expect(sealed.includes(text)).toBe(false);
      }),
    );
  });

  test.each([
    ["another row", { row: "01900000-0000-7000-8000-000000000002" }],
    ["another column", { column: "secret" }],
    ["another table", { table: "webhooks" }],
    ["a longer name of the row", { row: `${context.row}|` }],
  ])("does not open for %s", (_what, other) => {
    const sealed = cipher.seal(context, "secret");
    expect(() => cipher.open({ ...context, ...other }, sealed)).toThrow(/does not open at/);
  });

  test("does not open with another organization's key", () => {
    const other = new OrganizationCipher(randomBytes(32));
    expect(() => other.open(context, cipher.seal(context, "secret"))).toThrow(/does not open/);
  });

  test("does not open when any bit of it differs, or any of it is missing or added", () => {
    const sealed = cipher.seal(context, "secret");
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const tampered = Buffer.from(sealed);
      tampered[bit >> 3] = (tampered[bit >> 3] as number) ^ (1 << (bit & 7));
      expect(() => cipher.open(context, tampered)).toThrow(/does not open/);
    }
    for (let length = 0; length < sealed.length; length++)
      expect(() => cipher.open(context, sealed.subarray(0, length))).toThrow(/does not open/);
    expect(() => cipher.open(context, Buffer.concat([sealed, Buffer.from([0])]))).toThrow(/does not open/);
  });

  test("tells nothing of the secret when it does not open", () => {
    const sealed = cipher.seal(context, "secret");
    expect(() => cipher.open({ ...context, row: "x" }, sealed)).toThrow(
      new Error("A sealed value does not open at channels|token|x"),
    );
  });

  test.each([
    { table: "a|b", column: "c", row: "r" },
    { table: "", column: "c", row: "r" },
    { table: "a", column: "b|c", row: "r" },
    { table: "a", column: "", row: "r" },
    { table: "a", column: "c", row: "" },
  ])("has a place that reads in one way only: not %j", (place) => {
    expect(() => cipher.seal(place, "x")).toThrow();
  });
});

describe("a blind index", () => {
  const email = { table: "contacts", column: "email" };
  test("is equal for equal text within a column and organization, and in no other case", () => {
    const index = cipher.blindIndex(email, "ana@b.c");
    expect(index).toHaveLength(32);
    expect(new OrganizationCipher(dataKey).blindIndex(email, "ana@b.c")).toEqual(index);
    const others = [
      cipher.blindIndex(email, "ana@b.d"),
      cipher.blindIndex(email, ""),
      cipher.blindIndex({ ...email, column: "phone" }, "ana@b.c"),
      cipher.blindIndex({ ...email, table: "leads" }, "ana@b.c"),
      new OrganizationCipher(randomBytes(32)).blindIndex(email, "ana@b.c"),
    ];
    for (const other of others) expect(other.equals(index)).toBe(false);
  });
});
