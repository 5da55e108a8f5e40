const signatures: readonly [bytes: string, kind: string][] = [
  ["d0cf11e0a1b11ae1", "an old Excel workbook (XLS)"],
  ["1f8b", "a gzip archive"],
  ["377abcaf271c", "a 7z archive"],
  ["526172211a07", "a RAR archive"],
  ["fd377a585a00", "an xz archive"],
  ["28b52ffd", "a Zstandard archive"],
  ["25504446", "a PDF document"],
  ["89504e47", "a PNG image"],
  ["ffd8ff", "a JPEG image"],
  ["47494638", "a GIF image"],
  ["fffe", "UTF-16 text"],
  ["feff", "UTF-16 text"],
  ["7f454c46", "a program"],
];

/** What a file that begins with `head` is, with its article, if it is surely not plain text. */
export function foreignKind(head: Buffer): string | undefined {
  if (["504b0304", "504b0506"].includes(head.toString("hex", 0, 4)))
    return head.includes("[Content_Types].xml") || head.includes("xl/")
      ? "an Excel workbook (XLSX, a ZIP archive)"
      : "a ZIP archive";
  const start = head.toString("hex", 0, 8);
  const known = signatures.find(([bytes]) => start.startsWith(bytes));
  if (known) return known[1];
  const text = head
    .toString("utf8", 0, 200)
    .replace(/^\ufeff/, "")
    .trimStart()
    .toLowerCase();
  if (/^(<!doctype|<html|<\?xml)/.test(text)) return "a web page or XML document";
  if (/^(\{|\[\s*[[{])/.test(text)) return "JSON";
  return undefined;
}
