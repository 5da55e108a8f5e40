/**
 * The forms in which a given text may be stored: NFC, in which it is since it is normalised when it comes, and NFD, of before.
 * Nearly always one.
 */
export function formsOf(text: string): string[] {
  const [composed, decomposed] = [text.normalize("NFC"), text.normalize("NFD")];
  return composed === decomposed ? [composed] : [composed, decomposed];
}

/**
 * A text in lower case, one code point for one, as PostgreSQL's collation pg_c_utf8 has it (Unicode's simple mapping). Of its
 * own accord JavaScript makes two of İ, and looks at what stands around Σ.
 */
export const lowerCase = (text: string): string =>
  /[\u0130\u03a3]/.test(text)
    ? text.replace(/[\u0130\u03a3]/g, (one) => (one === "\u0130" ? "i" : "\u03c3")).toLowerCase()
    : text.toLowerCase();

/** By code points, as COLLATE "C" orders UTF-8; negative, 0 or positive. */
export const compareTexts = (one: string, other: string): number =>
  Buffer.compare(Buffer.from(one), Buffer.from(other));

/** As a pattern of SQL's LIKE. `*` is the API's wildcard; without one, the text may stand anywhere. */
export function likePattern(text: string): string {
  const escaped = text.replace(/[\\%_]/g, "\\$&");
  return escaped.includes("*") ? escaped.replaceAll("*", "%") : `%${escaped}%`;
}

/** Whether a text is like a pattern of the API's; both in lower case. */
export function isLike(text: string, pattern: string): boolean {
  if (!pattern.includes("*")) return text.includes(pattern);
  const parts = pattern.split("*");
  const first = parts.shift() as string;
  const last = parts.pop() as string;
  if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last))
    return false;
  let from = first.length;
  const end = text.length - last.length;
  for (const part of parts) {
    const found = text.indexOf(part, from);
    if (found === -1 || found + part.length > end) return false;
    from = found + part.length;
  }
  return true;
}
