import { isUtf8 } from "node:buffer";
import type { Encoding } from "../../../mixins/records/importing/import-form.ts";
import { unfinishedTail } from "../../../mixins/upload/text.ts";

export type { Encoding };

/** Stands where bytes of a UTF-8 file belong to no character; half a character, so that no text may hold it. */
export const brokenCharacter = "\udcff";

/** What of a UTF-16 file's beginning must be NUL, at least: its separators and line ends, whatever its script. */
const nulShare = 0.02;

/**
 * What a file's first chunk says of its encoding: undefined where that has nothing but ASCII, so that a later one decides.
 * UTF-16 is known by its mark or, as text has no NUL, by where its NULs stand; what is not UTF-8 is Windows-1252, unless half of
 * the lines that are not ASCII are UTF-8, or more of their characters are than are not.
 */
export function encodingOf(chunk: Buffer, isFirst: boolean): Encoding | undefined {
  if (isFirst) {
    const wide = wideEncodingOf(chunk);
    if (wide) return wide;
  }
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(
    chunk.subarray(0, chunk.length - unfinishedTail(chunk)),
  );
  const told = text.split("\n").filter((line) => /[^\0-\x7f]/.test(line));
  if (told.length === 0) return undefined;
  if (isUtf8(chunk.subarray(0, chunk.length - unfinishedTail(chunk)))) return "utf-8";
  // bytes of Windows-1252 hardly ever read as a character of UTF-8
  const whole = told.filter((line) => !line.includes("\ufffd")).length;
  return 2 * whole >= told.length || countOf(text, /[^\0-\x7f\ufffd]/g) > countOf(text, /\ufffd/g)
    ? "utf-8"
    : "windows-1252";
}
const countOf = (text: string, sought: RegExp): number => text.match(sought)?.length ?? 0;

function wideEncodingOf(head: Buffer): Encoding | undefined {
  if (head[0] === 0xff && head[1] === 0xfe) return "utf-16le";
  if (head[0] === 0xfe && head[1] === 0xff) return "utf-16be";
  const nuls = [0, 0];
  for (let at = head.indexOf(0); at !== -1; at = head.indexOf(0, at + 1)) nuls[at % 2]!++;
  const [even = 0, odd = 0] = nuls;
  if (Math.max(even, odd) < Math.max(2, head.length * nulShare) || Math.min(even, odd) > 0) return undefined;
  return odd > 0 ? "utf-16le" : "utf-16be";
}

/** The C1 range of Windows-1252 (WHATWG Encoding Standard, index windows-1252); the five free places stay controls. */
const c1 = "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ";

/** The text of a file, a piece a chunk, without its byte order mark. Holds no more than the chunk in hand. */
export async function* decoded(chunks: AsyncIterable<Buffer>, encoding: Encoding): AsyncGenerator<string> {
  const decoder = decoderOf(encoding);
  let isFirst = true;
  for await (const chunk of chunks) {
    const text = decoder(chunk, false);
    if (text === "") continue;
    yield isFirst ? text.replace(/^\ufeff/, "") : text;
    isFirst = false;
  }
  const rest = decoder(Buffer.alloc(0), true);
  if (rest !== "") yield rest;
}

/** As `decoded`, of a file's first bytes; a character that their end cuts is left out. */
export const decodedHead = (head: Buffer, encoding: Encoding): string =>
  decoderOf(encoding)(head, false).replace(/^\ufeff/, "");

function decoderOf(encoding: Encoding): (bytes: Buffer, isEnd: boolean) => string {
  if (encoding === "windows-1252")
    return (bytes) =>
      bytes.toString("latin1").replace(/[\x80-\x9f]/g, (byte) => c1[byte.charCodeAt(0) - 0x80] ?? byte);
  if (encoding !== "utf-8") {
    const wide = new TextDecoder(encoding, { ignoreBOM: true });
    // at its end stands what half a unit leaves
    return (bytes, isEnd) =>
      isEnd ? wide.decode(bytes).replaceAll("\ufffd", brokenCharacter) : wide.decode(bytes, { stream: true });
  }
  let carried = Buffer.alloc(0);
  return (bytes, isEnd) => {
    const known = carried.length > 0 ? Buffer.concat([carried, bytes]) : bytes;
    const whole = known.subarray(0, known.length - (isEnd ? 0 : unfinishedTail(known)));
    carried = Buffer.from(known.subarray(whole.length));
    if (isUtf8(whole)) return whole.toString();
    return new TextDecoder("utf-8", { ignoreBOM: true }).decode(whole).replaceAll("\ufffd", brokenCharacter);
  };
}
