const mostLetters = 60;

/**
 * A name as it may stand in a mail to somebody who does not know who typed it: one line of at most 60 letters, and nothing in it
 * that a mail program would show as a link or an address.
 * @param otherwise stands where nothing is left of it
 */
export function nameInMail(name: string, otherwise: string): string {
  const plain = name
    .normalize("NFKC")
    .replace(/(?!\u200c|\u200d)[^\p{L}\p{M}\p{N}\p{Zs}'’&+,.()-]/gu, " ")
    // example.com is a link to many programs; Dr. Rao and J.R. are none
    .replace(/\.(?=[^\s.,)]{2})/gu, " ")
    .replace(/\s+/gu, " ")
    .trim();
  const letters = [...plain];
  const short =
    letters.length > mostLetters
      ? `${letters
          .slice(0, mostLetters - 1)
          .join("")
          .trim()}…`
      : plain;
  return /[\p{L}\p{N}]/u.test(short) ? short : otherwise;
}
