import { createHash } from "node:crypto";

/** Longest key of a custom field. */
const longestKey = 64;
/** Letters of a hash in a key: 50 bits, of base 32. */
const hashLength = 10;

/**
 * The key of the custom field that a column makes, of its heading alone: `How did you hear?` → `howDidYouHear`. Headings that
 * differ in no more than case, accents of Latin letters, spaces and punctuation are one. Where more would be lost (`शहर`,
 * `Price (€)`, a heading that is too long) a hash of the heading stands for it, so that two headings never share a key:
 * `field_…`, `price_…`.
 */
export function keyOf(heading: string): string {
  const key = camelCase(heading);
  const isWhole = key !== "" && key.length <= longestKey && !lost.test(withoutMarks(heading));
  return isWhole && key !== "__proto__" ? key : hashedKey(heading);
}

/** The key of a heading beside others that have taken its own: the first, the second … of those that read alike. */
export const hashedKey = (heading: string, nth = 0): string =>
  `${camelCase(heading).slice(0, longestKey - hashLength - 1) || "field"}_${hashOf(heading, nth)}`;

/** What a key does not say: letters and digits of other scripts, and signs that are no punctuation. */
const lost = /[^A-Za-z0-9\s\-_.,:;!?()[\]{}'"’“”/\\&*]/u;
/** Marks of Latin letters only: those of other scripts are letters' worth. */
const withoutMarks = (heading: string): string =>
  heading.normalize("NFKD").replaceAll(/(?<=\p{Script=Latin})\p{M}+/gu, "");

function camelCase(heading: string): string {
  const words = withoutMarks(heading).match(/[A-Za-z0-9]+/g) ?? [];
  return words
    .map((word, index) => {
      const isShouting = word.length > 1 && word === word.toUpperCase();
      const lower = isShouting ? word.toLowerCase() : word;
      if (index === 0) return lower[0]?.toLowerCase() + lower.slice(1);
      // 1.5 is not 15
      const isDigits = /\d$/.test(words[index - 1] ?? "") && /^\d/.test(word);
      return `${isDigits ? "_" : ""}${lower[0]?.toUpperCase()}${lower.slice(1)}`;
    })
    .join("");
}

function hashOf(heading: string, nth: number): string {
  const name = heading.normalize("NFC").trim().replaceAll(/\s+/g, " ").toLowerCase();
  return BigInt(
    `0x${createHash("sha256")
      .update(name + "\0".repeat(nth))
      .digest("hex")}`,
  )
    .toString(32)
    .slice(0, hashLength);
}
