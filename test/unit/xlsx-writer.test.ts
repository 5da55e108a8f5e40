import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { buffer } from "node:stream/consumers";
import { setImmediate as turn } from "node:timers/promises";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { xlsxStream, type XlsxCell } from "../../mixins/files/xlsx-writer.ts";
import { readWorkbook, unzip } from "../support/workbook.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;
/** Bytes that something still holds. */
function liveHeap(): number {
  collect();
  return getHeapStatistics().used_heap_size;
}

async function* batches(...lists: XlsxCell[][][]): AsyncGenerator<XlsxCell[][]> {
  for (const list of lists) yield await Promise.resolve(list);
}
const write = (columns: string[], ...lists: XlsxCell[][][]) =>
  xlsxStream({ name: "S", columns, rows: batches(...lists) });

describe("a workbook", () => {
  test("has the heading and every row of every batch, each cell as what it is", async () => {
    const time = new Date("2026-02-28T23:59:59.000Z");
    const stream = write(
      ["a", "b", "c"],
      [["x", 1.5, true]],
      [],
      [
        [null, null, time],
        [" spaces ", -0.001, false],
      ],
    );
    expect(await readWorkbook(stream)).toEqual([
      {
        name: "S",
        rows: [
          ["a", "b", "c"],
          ["x", 1.5, true],
          [null, null, time],
          [" spaces ", -0.001, false],
        ],
      },
    ]);
  });

  test("without rows has its heading", async () => {
    expect(await readWorkbook(write(["a & b"]))).toEqual([{ name: "S", rows: [["a & b"]] }]);
  });

  test.each<[string, XlsxCell, unknown]>([
    ["a formula stays text", "=1+1", "=1+1"],
    ["markup stays text", `</t></is></c><c t="str"><f>1</f>&amp;`, `</t></is></c><c t="str"><f>1</f>&amp;`],
    ["control characters come back", "a\u0000b\u000bc\rd\te\nf", "a\u0000b\u000bc\rd\te\nf"],
    ["what looks like an escape stays as it is", "_x0041_ _x005F_", "_x0041_ _x005F_"],
    ["half a character becomes the replacement character", "a\ud800b", "a\ufffdb"],
    ["no character at all is escaped", "a\uffffb", "a\uffffb"],
    ["no number is text", Number.NaN, "NaN"],
    ["a time before 1900 is text", new Date("1899-06-01T00:00:00Z"), "1899-06-01T00:00:00.000Z"],
    ["no time is text", new Date(Number.NaN), "Invalid Date"],
    ["text ends at 32,767 characters", "x".repeat(40_000), "x".repeat(32_767)],
  ])("%s", async (_, cell, read) => {
    const [sheet] = await readWorkbook(write(["a"], [[cell]]));
    expect(sheet?.rows[1]).toEqual([read]);
  });

  test("gives back any text", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.string({ unit: "grapheme" }), { minLength: 1 }), async (texts) => {
        const [sheet] = await readWorkbook(write(["a"], texts.map((text) => [text]))); // prettier-ignore
        expect(sheet?.rows.slice(1).map(([cell]) => cell)).toEqual(texts);
      }),
      { numRuns: 50 },
    );
  });

  test("goes on in another sheet where one is full, under the same heading", async () => {
    const rows = batches([[1], [2]], [[3], [4], [5]]);
    const sheets = await readWorkbook(xlsxStream({ name: "S", columns: ["a"], rows, rowsPerSheet: 3 }));
    expect(sheets).toEqual([
      { name: "S", rows: [["a"], [1], [2]] },
      { name: "S 2", rows: [["a"], [3], [4]] },
      { name: "S 3", rows: [["a"], [5]] },
    ]);
  });

  test("names columns beyond Z", async () => {
    const columns = Array.from({ length: 703 }, (_, index) => `c${index}`);
    const files = await unzip(await buffer(write(columns)));
    expect(files.get("xl/worksheets/sheet1.xml")).toMatch(/r="Z1".*r="AA1".*r="ZZ1".*r="AAA1"/);
  });

  test("fails when its rows do, rather than being short", async () => {
    const broken = async function* (): AsyncGenerator<XlsxCell[][]> {
      yield await Promise.resolve([["x"]]);
      throw new Error("the database is gone");
    };
    await expect(buffer(xlsxStream({ name: "S", columns: ["a"], rows: broken() }))).rejects.toThrow(
      "the database is gone",
    );
    await expect(buffer(write(["a", "b"], [["x"]]))).rejects.toThrow("1 cells, the heading 2");
  });

  test("asks for no more rows than are read, and lets go of them when nobody reads on", async () => {
    let asked = 0;
    let isOver = false;
    const endless = async function* (): AsyncGenerator<XlsxCell[][]> {
      try {
        // texts that do not pack
        for (;;) {
          asked++;
          yield await Promise.resolve(
            Array.from({ length: 1_000 }, () => [Array.from({ length: 20 }, () => Math.random()).join("")]),
          );
        }
      } finally {
        isOver = true;
      }
    };
    const stream = xlsxStream({ name: "S", columns: ["a"], rows: endless() });
    stream.read(0);
    for (let turns = 0; turns < 500; turns++) await turn();
    expect(asked).toBeLessThan(10);
    let bytes = 0;
    const before = liveHeap();
    for await (const chunk of stream) {
      bytes += (chunk as Buffer).length;
      if (bytes > 4_000_000) break;
    }
    expect(liveHeap() - before).toBeLessThan(50_000_000);
    for (let turns = 0; turns < 500 && !isOver; turns++) await turn();
    expect(isOver).toBe(true);
  });
});
