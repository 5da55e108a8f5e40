import { Readable } from "node:stream";
import { ZipFile } from "yazl";

/** What a cell can hold; a Date is shown in UTC. Text is never taken for a formula. */
export type XlsxCell = string | number | boolean | Date | null;

/** A sheet ends at this row, the heading among them; a cell at this many characters. */
export const sheetRows = 1_048_576;
const cellLength = 32_767;
const main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
const officeRelations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
const packageRelations = "http://schemas.openxmlformats.org/package/2006/relationships";
const contentType = "application/vnd.openxmlformats-officedocument.spreadsheetml";
const declaration = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n';

/**
 * A workbook (Office Open XML, ECMA-376) as a stream that is made while it is read: it holds the batch in hand, however many
 * rows come. What does not fit a sheet goes on in another, `<name> 2`, under the same heading.
 * @param workbook.name of the sheet, up to 25 characters without `[]:*?/\`
 * @param workbook.rows in batches; every row has a cell for each column, or the stream fails
 * @param workbook.rowsPerSheet with the heading; default 1,048,576, the most a sheet can have
 */
export function xlsxStream(workbook: {
  name: string;
  columns: readonly string[];
  rows: AsyncIterable<readonly (readonly XlsxCell[])[]>;
  rowsPerSheet?: number;
}): Readable {
  const { name, columns, rowsPerSheet = sheetRows } = workbook;
  const zip = new ZipFile();
  const stream = zip.outputStream as Readable;
  const batches = workbook.rows[Symbol.asyncIterator]();
  const letters = columns.map((_, index) => columnLetters(index));
  let waiting: readonly (readonly XlsxCell[])[] = [];
  let sheets = 0;

  const addFile = (path: string, xml: string) => zip.addBuffer(Buffer.from(declaration + xml), path);
  const addSheet = () => {
    zip.addReadStreamLazy(`xl/worksheets/sheet${++sheets}.xml`, (take) => {
      const file = Readable.from(sheetXml(), { objectMode: false });
      // pipes carry neither errors on nor the end of a reader back
      file.once("error", (error) => stream.destroy(error));
      stream.once("close", () => file.destroy());
      take(null, file);
    });
  };
  async function* sheetXml(): AsyncGenerator<string> {
    yield `${declaration}<worksheet xmlns="${main}"><sheetData>${rowXml(columns, 1, letters)}`;
    let row = 1;
    for (;;) {
      if (waiting.length === 0) {
        const next = await batches.next();
        if (next.done) break;
        waiting = next.value;
      }
      const fitting = waiting.slice(0, rowsPerSheet - row);
      if (fitting.length === 0 && waiting.length > 0) break;
      waiting = waiting.slice(fitting.length);
      yield fitting.map((cells) => rowXml(cells, ++row, letters)).join("");
    }
    yield "</sheetData></worksheet>";
    // what follows in the archive is only known now
    if (waiting.length > 0) addSheet();
    else finish();
  }
  const finish = () => {
    const numbers = Array.from({ length: sheets }, (_, index) => index + 1);
    const titles = numbers.map((number) => escapeXml(number === 1 ? name : `${name} ${number}`));
    addFile(
      "xl/workbook.xml",
      `<workbook xmlns="${main}" xmlns:r="${officeRelations}"><sheets>${titles
        .map((title, index) => `<sheet name="${title}" sheetId="${index + 1}" r:id="s${index + 1}"/>`)
        .join("")}</sheets></workbook>`,
    );
    addFile(
      "xl/_rels/workbook.xml.rels",
      `<Relationships xmlns="${packageRelations}">${numbers
        .map((number) => relation(`s${number}`, "worksheet", `worksheets/sheet${number}.xml`))
        .join("")}${relation("styles", "styles", "styles.xml")}</Relationships>`,
    );
    zip.end();
  };

  // when nobody reads on too; what that ends may no longer fail anybody
  stream.once("close", () => void batches.return?.().then(undefined, () => undefined));
  addFile(
    "[Content_Types].xml",
    // any number of sheets: whatever is not said to be something else is one
    `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">`
      + `<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>`
      + `<Default Extension="xml" ContentType="${contentType}.worksheet+xml"/>`
      + `<Override PartName="/xl/workbook.xml" ContentType="${contentType}.sheet.main+xml"/>`
      + `<Override PartName="/xl/styles.xml" ContentType="${contentType}.styles+xml"/></Types>`,
  );
  addFile(
    "_rels/.rels",
    `<Relationships xmlns="${packageRelations}">${relation("workbook", "officeDocument", "xl/workbook.xml")}</Relationships>`,
  );
  addFile("xl/styles.xml", styles);
  addSheet();
  return stream;
}

/** Style 0 is plain, style 1 shows a date with its time. */
const styles =
  `<styleSheet xmlns="${main}"><numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/></numFmts>`
  + `<fonts count="1"><font/></fonts><fills count="2"><fill/><fill><patternFill patternType="gray125"/></fill></fills>`
  + `<borders count="1"><border/></borders><cellStyleXfs count="1"><xf/></cellStyleXfs>`
  + `<cellXfs count="2"><xf xfId="0"/><xf numFmtId="164" xfId="0" applyNumberFormat="1"/></cellXfs></styleSheet>`;

const relation = (id: string, type: string, target: string): string =>
  `<Relationship Id="${id}" Type="${officeRelations}/${type}" Target="${target}"/>`;

/** 0 → A, 25 → Z, 26 → AA. */
function columnLetters(index: number): string {
  const letter = String.fromCharCode(65 + (index % 26));
  return index < 26 ? letter : columnLetters(Math.floor(index / 26) - 1) + letter;
}

function rowXml(cells: readonly XlsxCell[], row: number, letters: readonly string[]): string {
  if (cells.length !== letters.length)
    throw new Error(`A row has ${cells.length} cells, the heading ${letters.length}`);
  let xml = `<row r="${row}">`;
  for (const [index, cell] of cells.entries())
    if (cell !== null) xml += cellXml(cell, `r="${letters[index]}${row}"`);
  return `${xml}</row>`;
}

function cellXml(cell: Exclude<XlsxCell, null>, place: string): string {
  if (typeof cell === "number" && Number.isFinite(cell)) return `<c ${place}><v>${cell}</v></c>`;
  if (typeof cell === "boolean") return `<c ${place} t="b"><v>${Number(cell)}</v></c>`;
  if (cell instanceof Date) {
    const day = cell.getTime() / 86_400_000 + 25_569;
    // a spreadsheet's calendar begins in 1900, has a 29 February then, and ends with 9999
    if (day >= 61 && day < 2_958_466) return `<c ${place} s="1"><v>${day}</v></c>`;
  }
  const text = cell instanceof Date && !Number.isNaN(cell.getTime()) ? cell.toISOString() : String(cell);
  return `<c ${place} t="inlineStr"><is><t xml:space="preserve">${escapeXml(text.slice(0, cellLength))}</t></is></c>`;
}

const entities: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
/**
 * Text in XML 1.0, which has no control characters; ECMA-376 writes them `_x0007_` (ST_Xstring, 22.9.2.19), and so what
 * looks like that already.
 */
const escapeXml = (text: string): string =>
  text
    .toWellFormed()
    .replace(/_(?=x[0-9a-f]{4}_)/gi, "_x005F_")
    .replace(/[&<>"]/g, (sign) => entities[sign] as string)
    .replace(
      // all but tab and newline
      /[^\P{Cc}\t\n]|[\ufffe\uffff]/gu,
      (sign) => `_x${sign.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}_`,
    );
