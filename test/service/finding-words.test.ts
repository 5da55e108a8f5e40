import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { inspect, openDatabase } from "../support/database.ts";

let opened: Awaited<ReturnType<typeof openDatabase>>;
beforeAll(async () => {
  opened = await openDatabase();
});
afterAll(() => opened.close());
const ask = <R extends Record<string, unknown>>(text: string, values: unknown[]) =>
  inspect<R>(opened.url, text, values);

/** Whether a search finds a record of these texts. */
async function finds(q: string, texts: string[], phones: string[] = []): Promise<boolean> {
  const [row] = await ask<{ found: boolean }>(
    "SELECT coalesce(find_words($2, $3) @@ find_query($1), false) AS found",
    [q, texts, phones],
  );
  return row?.found === true;
}

describe("a search", () => {
  test.each([
    ["Infosys", "TCS/Infosys"],
    ["tcs/inf", "TCS/Infosys"],
    ["booking.com", "Booking.com"],
    ["24-7", "Call 24-7"],
    // blanks that few know
    ["rao", "\ufeffRao"],
    ["rao", "Asha\u1680Rao"],
    ["A-1", "A-1 Traders"],
    ["1.5", "Version 1.5"],
    ["muller", "M\u00fcller"],
    ["M\u00fcller", "Muller"],
    ["Jos\u00e9", "Jose\u0301"],
    ["Jose\u0301", "Jos\u00e9"],
    [
      "\u092a\u094d\u0930\u093f\u092f\u093e",
      "\u092a\u094d\u0930\u093f\u092f\u093e \u0936\u0930\u094d\u092e\u093e",
    ],
    ["\u0e43\u0e08\u0e14\u0e35", "\u0e2a\u0e21\u0e0a\u0e32\u0e22\u0e43\u0e08\u0e14\u0e35"],
    ["rao pune", "Asha Rao (Pune)"],
    ["rao@example.com", "asha.rao@example.com"],
    ["rao-sharma", "Rao Sharma"],
    ["rao, ash", "Asha Rao"],
    ["o'brien", "O'Brien"],
    ["C:\\x", "C:\\x"],
  ])("for %s finds %s", async (q, text) => {
    expect(await finds(q, [text])).toBe(true);
  });
  test.each([
    ["A-1", "A 2 1"],
    ["1.5", "1 of 5"],
    ["\u092a\u094d\u0930\u093f\u092f\u093e", "\u092a\u094d\u0930\u0915\u093e\u0936"],
    ["sha", "Asha"],
    ["rao pune", "Rao"],
    ["?!", "What"],
  ])("for %s does not find %s", async (q, text) => {
    expect(await finds(q, [text])).toBe(false);
  });
  test.each([
    "98765 43210",
    "098765-43210",
    "+91 98765 43210",
    "(0)98765.43210",
    "43210",
    "6543",
    "919876543210",
  ])("for %s finds the phone +919876543210", async (q) => {
    expect(await finds(q, [], ["+919876543210"])).toBe(true);
  });
  test("finds any name of which one letter is another, is missing, is one too many or stands beside its place", async () => {
    const name = fc.stringMatching(/^[a-zäé]{5,16}$/);
    const change = fc.tuple(name, fc.nat(), fc.constantFrom("a", "z", "é"), fc.nat(3));
    await fc.assert(
      fc.asyncProperty(change, async ([given, at, letter, how]) => {
        const place = at % given.length;
        const rest = given.slice(place + 1);
        const wrong = [
          given.slice(0, place) + letter + rest,
          given.slice(0, place) + rest,
          given.slice(0, place) + letter + given.slice(place),
          given.slice(0, place) + rest.slice(0, 1) + given.charAt(place) + rest.slice(1),
        ][how];
        const [row] = await ask<{ is: boolean }>(
          `SELECT bool_or(find_near_terms($2) || find_words($2, '{}') @@ near.asked AND find_has_near($2, near.word)) AS is
           FROM find_near_words($1) AS near`,
          [wrong, [given]],
        );
        expect([given, wrong, row?.is]).toEqual([given, wrong, true]);
      }),
      { numRuns: 200 },
    );
  });
  test("finds any text by any of its words", async () => {
    const text = fc.string({ unit: "grapheme", maxLength: 40 }).map((one) => one.replaceAll("\0", ""));
    const typed = fc.array(fc.oneof(text, fc.stringMatching(/^[a-z0-9.@'/\\:& -]{1,20}$/)), {
      minLength: 1,
      maxLength: 4,
    });
    await fc.assert(
      fc.asyncProperty(typed, async (texts) => {
        const words = texts.join(" ").split(/\s+/u).filter(Boolean);
        const rows = await ask(
          `SELECT word FROM unnest($1::text[]) AS word WHERE find_query(word) IS NOT NULL AND NOT find_words($2, '{}') @@ find_query(word)`,
          [words, texts],
        );
        expect(rows).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });
});
