import { buffer, text } from "node:stream/consumers";
import type { Readable } from "node:stream";
import { promisify } from "node:util";
import yauzl from "yauzl";

/** A sheet as a spreadsheet reads it: a date is one by its style, an empty cell null. */
export interface ReadSheet {
  name: string;
  rows: (string | number | boolean | Date | null)[][];
}

/** The files of a ZIP by name, unpacked. */
export async function unzip(bytes: Buffer): Promise<Map<string, string>> {
  const zip = await promisify<Buffer, yauzl.Options, yauzl.ZipFile>(yauzl.fromBuffer)(bytes, {
    lazyEntries: true,
  });
  const open = promisify<yauzl.Entry, Readable>(zip.openReadStream.bind(zip));
  const files = new Map<string, string>();
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  zip.on("entry", (entry: yauzl.Entry) => {
    open(entry)
      .then(text)
      .then((content) => {
        files.set(entry.fileName, content);
        zip.readEntry();
      })
      .catch(reject);
  });
  zip.once("end", resolve);
  zip.once("error", reject);
  zip.readEntry();
  await promise;
  return files;
}

/** Opens a workbook by the way its parts name each other: content types, relations, sheets. @throws Error where one is missing */
export async function readWorkbook(stream: Readable): Promise<ReadSheet[]> {
  const files = await unzip(await buffer(stream));
  const file = (path: string): string => {
    const content = files.get(path);
    if (content === undefined) throw new Error(`There is no ${path}: ${[...files.keys()].join(", ")}`);
    return content;
  };
  const types = file("[Content_Types].xml");
  const typeOf = (path: string) =>
    attributeWhere(types, "Override", "PartName", `/${path}`, "ContentType")
    ?? attributeWhere(types, "Default", "Extension", path.split(".").at(-1) ?? "", "ContentType");
  const start = attributes(file("_rels/.rels"), "Relationship")[0]?.Target ?? "";
  if (!typeOf(start)?.endsWith("sheet.main+xml")) throw new Error(`${start} is no workbook`);
  const relations = file("xl/_rels/workbook.xml.rels");
  if (attributeWhere(relations, "Relationship", "Target", "styles.xml", "Id") === undefined)
    throw new Error("The workbook names no styles");
  file("xl/styles.xml");
  return attributes(file(start), "sheet").map(({ name = "", ...sheet }) => {
    const target = attributeWhere(relations, "Relationship", "Id", sheet["r:id"] ?? "", "Target");
    if (!typeOf(`xl/${target}`)?.endsWith("worksheet+xml")) throw new Error(`${target} is no sheet`);
    return { name: unescapeXml(name), rows: rowsOf(file(`xl/${target}`)) };
  });
}

function rowsOf(xml: string): ReadSheet["rows"] {
  return [...xml.matchAll(/<row r="(\d+)">(.*?)<\/row>/gs)].map(([, number, cells = ""], index) => {
    if (Number(number) !== index + 1) throw new Error(`Row ${number} stands at place ${index + 1}`);
    const row: ReadSheet["rows"][number] = [];
    for (const [, start = "", content = ""] of cells.matchAll(/<c ([^>]*)>(.*?)<\/c>/gs)) {
      const { r = "", t, s } = attributesOf(start);
      if (!r.endsWith(String(number))) throw new Error(`Cell ${r} stands in row ${number}`);
      const column = columnOf(r);
      while (row.length < column) row.push(null);
      row.push(valueOf(content, t, s));
    }
    return row;
  });
}

function valueOf(content: string, type: string | undefined, style: string | undefined) {
  if (type === "inlineStr") {
    const [, string] = /^<is><t xml:space="preserve">([^<]*)<\/t><\/is>$/s.exec(content) ?? [];
    if (string === undefined) throw new Error(`No text: ${content}`);
    return unescapeXml(string);
  }
  const [, number] = /^<v>([^<]*)<\/v>$/.exec(content) ?? [];
  if (number === undefined) throw new Error(`No value: ${content}`);
  if (type === "b") return number === "1";
  return style === "1" ? new Date(Math.round((Number(number) - 25_569) * 86_400_000)) : Number(number);
}

const columnOf = (place: string): number =>
  [...place.replace(/\d+$/, "")].reduce((sum, letter) => sum * 26 + letter.charCodeAt(0) - 64, 0) - 1;
const attributesOf = (start: string): Record<string, string> =>
  Object.fromEntries(
    [...start.matchAll(/([\w:]+)="([^"]*)"/g)].map(([, name = "", value = ""]) => [name, value] as const),
  );
const attributes = (xml: string, tag: string): Record<string, string>[] =>
  [...xml.matchAll(new RegExp(`<${tag}\\s([^>]*?)/?>`, "g"))].map(([, start = ""]) => attributesOf(start));
const attributeWhere = (xml: string, tag: string, key: string, value: string, wanted: string) =>
  attributes(xml, tag).find((one) => one[key] === value)?.[wanted];
const names: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"' };
const unescapeXml = (xml: string): string =>
  xml
    .replace(/&(\w+);/g, (_, name: string) => names[name] ?? "?")
    .replace(/_x([0-9A-F]{4})_/g, (_, code: string) => String.fromCharCode(parseInt(code, 16)));
