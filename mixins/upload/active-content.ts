import { createReadStream } from "node:fs";
import { equalChunks } from "./chunks.ts";
import { fileUnsafe } from "./upload.errors.ts";

const chunkBytes = 256 * 1024;
/** Longest mark below, so that none is cut in two. */
const overlap = 32;
/**
 * What a browser or a server that guesses would run, if it took a binary file for markup. Short marks occur by
 * chance.
 */
const markup = /<script[\s>/]|<!doctype html|<html[\s>]|<iframe[\s>]|<\?php|<svg[^>]{0,16}xmlns/i;

/**
 * Refuses a binary file (an image, a sound …) that is also a web page or program text, or that ends in a ZIP archive:
 * whoever guesses its type by another part than we do would run it.
 * @throws 422 FILE_UNSAFE
 */
export async function requireNoPolyglot(path: string): Promise<void> {
  let carried = "";
  const failed = () => fileUnsafe("it cannot be read");
  const bounds = { chunkBytes, maxBytes: Infinity, tooLarge: failed, brokeOff: failed };
  let tail = Buffer.alloc(0);
  for await (const bytes of equalChunks(createReadStream(path), bounds)) {
    const text = carried + bytes.toString("latin1");
    if (markup.test(text)) throw fileUnsafe("it is a web page or program as well");
    carried = text.slice(-overlap);
    tail = Buffer.concat([tail.subarray(-66_000), bytes]);
  }
  if (tail.subarray(-66_000).includes("PK\x05\x06", 0, "latin1"))
    throw fileUnsafe("it is an archive as well");
}

const forbiddenInSvg: readonly [RegExp, string][] = [
  [/<!(entity|doctype[^>]*\[)/i, "it declares entities"],
  [/<([\w.-]+:)?(script|handler|listener)[\s>/]/i, "it holds a script"],
  [/[\s"'/]on[a-z]+\s*=/i, "it holds a script"],
  [
    /<([\w.-]+:)?(foreignobject|iframe|embed|object|audio|video|link|meta|base)[\s>/]/i,
    "it embeds other content",
  ],
  [/<\?xml-stylesheet|@import|<([\w.-]+:)?style[^>]*\ssrc/i, "it loads a style sheet"],
  [/attributename\s*=\s*["']?\s*([\w.-]+:)?(href|on)/i, "it animates a link"],
  [/(java|vb|live)script:|data:(text|application|image\/svg)/i, "it holds a script"],
  [/(href|src)\s*=\s*["']?\s*([a-z][a-z0-9+.-]*:)?\/\//i, "it refers to another site"],
  [/url\(\s*["']?\s*([a-z][a-z0-9+.-]*:)?\/\//i, "it refers to another site"],
];

/**
 * Refuses an SVG image that does more than draw: scripts, handlers, embedded pages, references to other sites,
 * entities.
 * @param text all of it; UTF-8 is known
 * @throws 422 FILE_UNSAFE
 */
export function requireInertSvg(text: string): void {
  const declared = /^\ufeff?\s*<\?xml[^>]*encoding\s*=\s*["']([^"']*)/i.exec(text)?.[1];
  // another encoding would make other characters of the same bytes
  if (declared !== undefined && !/^(utf-?8|us-ascii)$/i.test(declared)) throw fileUnsafe("it is not UTF-8");
  // as attributes are read: character references resolved, and within a URL no white space or control characters
  const plain = text.replace(/&#(x[0-9a-f]+|\d+);?/gi, (_whole, digits: string) => {
    const code = /^x/i.test(digits) ? parseInt(digits.slice(1), 16) : Number(digits);
    return code <= 0x10ffff ? String.fromCodePoint(code) : "";
  });
  const joined = plain.replace(/&(tab|newline|colon);/gi, (_whole, name: string) =>
    /colon/i.test(name) ? ":" : "",
  );

  const squeezed = joined.replace(/[\x00-\x20]+/g, "");
  for (const [pattern, why] of forbiddenInSvg)
    if (
      pattern.test(text)
      || pattern.test(joined)
      || (why.includes("script") && /(java|vb|live)script:/i.test(squeezed))
    )
      throw fileUnsafe(why);
}
