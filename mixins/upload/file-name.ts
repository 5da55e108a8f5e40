const longestName = 200;
const longestExtension = 16;
/** Names that Windows gives to devices, whatever their extension. */
const deviceName = /^(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|$)/i;
/**
 * Control and format characters (among them those that turn the reading direction), line breaks, lone surrogates,
 * private use.
 */
const invisible = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}\p{Co}]/gu;

/**
 * The name a file is kept and offered under, made of what its uploader says: the last part of a path, without what
 * a file system, a header or an eye could misread. At most 200 bytes, its extension kept; `file` when nothing is
 * left.
 */
export function safeFileName(given: string): string {
  const last = given.normalize("NFC").split(/[/\\]/).at(-1) ?? "";
  const plain = trimmed(
    last
      .replace(/^[a-z]:/i, "")
      .replace(invisible, "")
      .replace(/[<>:"|?*]/g, "_")
      .replace(/\s+/g, " "),
  );
  const name = deviceName.test(plain) ? `_${plain}` : plain;
  return shortened(name) || "file";
}

/** Without points and blanks around it. A pattern for those at the end would try at each that stands within. */
function trimmed(name: string): string {
  const isEdge = (at: number) => name[at] === "." || name[at] === " ";
  let [from, to] = [0, name.length];
  while (from < to && isEdge(from)) from++;
  while (to > from && isEdge(to - 1)) to--;
  return name.slice(from, to);
}

/** The extension in lower case without its dot; "" when there is none. */
export function extensionOf(name: string): string {
  const dot = name.lastIndexOf(".");
  return dot > 0 ? name.slice(dot + 1).toLowerCase() : "";
}

/**
 * Whether a name within an archive could be written outside of the folder that it is unpacked to, or fool who
 * reads it.
 */
export function isUnsafeEntryName(name: string): boolean {
  if (name === "" || name.length > 1_024 || name.search(invisible) !== -1) return true;
  if (/^[/\\]|^[a-z]:|\\/i.test(name)) return true;
  return name.split("/").some((part) => part === ".." || part === "." || deviceName.test(part));
}

function shortened(name: string): string {
  if (Buffer.byteLength(name) <= longestName) return name;
  const extension = extensionOf(name);
  const end = extension !== "" && Buffer.byteLength(extension) <= longestExtension ? `.${extension}` : "";
  let stem = "";
  let room = longestName - Buffer.byteLength(end);
  for (const character of end === "" ? name : name.slice(0, -end.length)) {
    room -= Buffer.byteLength(character);
    if (room < 0) break;
    stem += character;
  }
  return stem.trimEnd() + end;
}
