import { createReadStream } from "node:fs";
import { fileTypeFromFile } from "file-type";
import { equalChunks } from "./chunks.ts";
import { foreignKind } from "./foreign-kind.ts";
import { utf8Chunks } from "./text.ts";

/** Text that is told apart by its name alone: its bytes are alike. */
const plainTexts = [
  "text/plain",
  "text/csv",
  "text/tab-separated-values",
  "text/markdown",
  "application/json",
];

/** Which extensions each type has, the usual first. */
const extensions: Record<string, readonly string[]> = {
  "text/plain": ["txt", "text", "log"],
  "text/csv": ["csv"],
  "text/tab-separated-values": ["tsv"],
  "text/markdown": ["md", "markdown"],
  "application/json": ["json"],
  "text/html": ["html", "htm"],
  "application/xml": ["xml"],
  "image/svg+xml": ["svg"],
  "image/jpeg": ["jpg", "jpeg"],
  "application/gzip": ["gz"],
  "application/vnd.openxmlformats-officedocument.wordprocessingml.document": ["docx"],
  "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": ["xlsx"],
  "application/vnd.openxmlformats-officedocument.presentationml.presentation": ["pptx"],
};

/** Other names that browsers and systems send for a type. */
const aliases: Record<string, string> = {
  "image/jpg": "image/jpeg",
  "image/pjpeg": "image/jpeg",
  "image/x-png": "image/png",
  "application/x-gzip": "application/gzip",
  "application/x-zip-compressed": "application/zip",
  "application/x-pdf": "application/pdf",
  "text/x-markdown": "text/markdown",
  "text/json": "application/json",
  "text/xml": "application/xml",
  // Windows says so of CSV where Excel is installed
  "application/vnd.ms-excel": "text/csv",
};

/** A media type without parameters, by its one name; undefined for what says nothing. */
export function mediaType(declared: string | undefined): string | undefined {
  const type = declared?.split(";")[0]?.trim().toLowerCase() ?? "";
  if (type === "" || type === "application/octet-stream") return undefined;
  return aliases[type] ?? type;
}

/** Whether bytes of type `found` may go by the type `claimed`. */
export const isSameKind = (claimed: string, found: string): boolean =>
  claimed === found || (found === "text/plain" && plainTexts.includes(claimed));

/** Of these types, the one that has this extension. */
export const typeOfExtension = (extension: string, types: readonly string[]): string | undefined =>
  types.find((type) => (extensions[type] ?? [type.split("/")[1]]).includes(extension));

/**
 * What a file is by its bytes: a media type, `text/plain` for any plain text, undefined for what nobody knows.
 * @param hint a type that is claimed for it. Text may happen to begin as some binary file does ("BM"), so where
 *   text is claimed and every byte is text, it is
 */
export async function sniffType(path: string, hint: string | undefined): Promise<string | undefined> {
  const found = (await fileTypeFromFile(path))?.mime;
  const isTextual = found === undefined || found === "application/xml";
  if (!isTextual && !plainTexts.includes(hint ?? "")) return mediaType(found);
  const head = await textHead(path);
  if (head === undefined) return mediaType(found);
  const kind = foreignKind(Buffer.from(head));
  if (!isTextual && kind !== undefined && kind !== "JSON") return mediaType(found);
  return (
    markupType(head)
    ?? (found === undefined ? "text/plain" : mediaType(found === "application/xml" ? found : "text/plain"))
  );
}

/** The beginning of a file that is UTF-8 text throughout; else undefined. */
async function textHead(path: string): Promise<string | undefined> {
  const chunkBytes = 64 * 1024;
  const noText = () => new Error("no text");
  const bounds = { chunkBytes, maxBytes: Infinity, tooLarge: noText, brokeOff: noText };
  let head: string | undefined;
  try {
    const chunks = equalChunks(createReadStream(path), bounds);
    for await (const bytes of utf8Chunks(chunks, chunkBytes, { binary: noText, notUtf8: noText }))
      head ??= bytes.toString("utf8");
  } catch {
    return undefined;
  }
  return head;
}

/** What a browser would take text for. */
function markupType(head: string): string | undefined {
  const text = head.replace(/^\ufeff/, "").slice(0, 4_096);
  const start = text.replace(
    /^(\s+|<\?xml[^>]*\?>|<!--[^]*?-->|<!doctype\s+svg[^>[]*(\[[^\]]*\]\s*)?>)+/i,
    "",
  );
  if (/^<([\w.-]+:)?svg[\s>]/i.test(start)) return "image/svg+xml";
  if (
    /^<(!doctype\s+html|html|head|body|script|iframe|img|style|title|table|div|a|p|h1|br|meta|link)[\s>/]/i.test(
      start,
    )
  )
    return "text/html";
  return /^\s*<\?xml\s/.test(text) ? "application/xml" : undefined;
}
