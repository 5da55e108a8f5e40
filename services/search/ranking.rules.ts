import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import { columnOf } from "../../mixins/records/finding/listing.ts";
import type { Hit } from "./search.contract.ts";

type Row = Readonly<Record<string, unknown>>;

/** Letters and digits, as they are compared: without accents, in small letters. */
export const folded = (text: string): string =>
  text
    .normalize("NFKD")
    .replaceAll(/[\u0300-\u036f]/g, "")
    .toLowerCase();
/** Words of a text, as they are compared. */
export const wordsOf = (text: string): string[] => folded(text).match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];

/** Fields of a kind that are searched, its title's first. */
export const searchedFields = ({ fields, title }: Pick<AnyKind, "fields" | "title">): string[] => {
  const searched = Object.entries(fields).flatMap(([key, { search }]) => (search ? [key] : []));
  return [...new Set([...title.filter((key) => searched.includes(key)), ...searched])];
};

const textIn = (row: Row, key: string): string | null => {
  const value = row[columnOf(key)];
  return typeof value === "string" && value !== "" ? value : null;
};

/** What a record is called: a person by both names, else the first of its title that is there. */
function titleOf({ title }: Pick<AnyKind, "title">, row: Row): { text: string; keys: string[] } {
  const names = ["firstName", "lastName"].filter((key) => title.includes(key) && textIn(row, key) !== null);
  const keys = names.length > 0 ? names : title.filter((key) => textIn(row, key) !== null).slice(0, 1);
  return { text: keys.map((key) => textIn(row, key)).join(" "), keys };
}

/** A record as it is found. @param words as they are compared */
export function hitOf(kind: AnyKind, row: Row, words: readonly string[]): Hit {
  const title = titleOf(kind, row);
  const others = searchedFields(kind)
    .filter((key) => !title.keys.includes(key))
    .flatMap((key) => textIn(row, key) ?? []);
  const inTitle = wordsOf(title.text);
  const elsewhere = others.flatMap(wordsOf);
  const worth = words.map((word) => {
    if (inTitle.includes(word)) return 1;
    if (inTitle.some((one) => one.startsWith(word))) return 0.8;
    if (elsewhere.includes(word)) return 0.6;
    return elsewhere.some((one) => one.startsWith(word)) ? 0.4 : 0.2;
  });
  const fit = worth.length === 0 ? 1 : worth.reduce((sum, one) => sum + one, 0) / worth.length;
  // of two that fit, the one of which more was named
  const named = inTitle.length === 0 ? 0 : Math.min(1, words.length / inTitle.length);
  const score = words.length === 0 ? 1 : fit * (0.8 + 0.2 * named);
  return {
    kind: kind.name,
    id: row.id as string,
    title: title.text,
    snippet: snippetOf(others, words),
    score: Math.round(score * 1_000) / 1_000,
  };
}

/** Characters of a snippet, before what is escaped of them. */
const longest = 160;
/** What fields say in which a word was found, else what they say at all. */
function snippetOf(texts: readonly string[], words: readonly string[]): string {
  const found = texts.filter((text) => marks(text, words));
  const text = (found.length > 0 ? found : texts.slice(0, 2)).join(" · ");
  const first = text.search(/[\p{L}\p{M}\p{N}]/u);
  const at = Math.max(0, Math.max(first, positionOf(text, words)) - longest / 4);
  const cut = text.slice(at, at + longest).toWellFormed();
  return `${at > 0 ? "…" : ""}${highlighted(cut, words)}${text.length > at + longest ? "…" : ""}`;
}

const token = /[\p{L}\p{M}\p{N}]+/gu;
const isMarked = (one: string, words: readonly string[]): boolean => {
  const compared = folded(one);
  return words.some(
    (word) => compared.startsWith(word) || (/^\d{3,}$/.test(word) && compared.includes(word)),
  );
};
const marks = (text: string, words: readonly string[]): boolean =>
  (text.match(token) ?? []).some((one) => isMarked(one, words));
function positionOf(text: string, words: readonly string[]): number {
  for (const match of text.matchAll(token)) if (isMarked(match[0], words)) return match.index;
  return 0;
}

const entities: Readonly<Record<string, string>> = {
  ...{ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" },
};
const escaped = (text: string): string => text.replaceAll(/[&<>"']/g, (sign) => entities[sign] ?? sign);

/** A text as HTML, with the words that begin with one of these in `<mark>`. */
export function highlighted(text: string, words: readonly string[]): string {
  let html = "";
  let at = 0;
  for (const { 0: one, index } of text.matchAll(token)) {
    if (!isMarked(one, words)) continue;
    html += `${escaped(text.slice(at, index))}<mark>${escaped(one)}</mark>`;
    at = index + one.length;
  }
  return html + escaped(text.slice(at));
}

/** How many letters differ, up to `most` and one more (Levenshtein; two that are swapped count as one). */
export function distance(a: string, b: string, most: number): number {
  if (Math.abs(a.length - b.length) > most) return most + 1;
  let [before, last]: [number[], number[]] = [
    [],
    Array.from({ length: b.length + 1 }, (_one, index) => index),
  ];
  for (let row = 1; row <= a.length; row++) {
    const next = [row];
    for (let column = 1; column <= b.length; column++) {
      const isSame = a[row - 1] === b[column - 1];
      let least = Math.min(
        (last[column] ?? 0) + 1,
        (next[column - 1] ?? 0) + 1,
        (last[column - 1] ?? 0) + (isSame ? 0 : 1),
      );
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1])
        least = Math.min(least, (before[column - 2] ?? 0) + 1);
      next.push(least);
    }
    [before, last] = [last, next];
  }
  return last[b.length] ?? most + 1;
}

/** The word of these that is nearest to one that is not among them; undefined where none is near. */
export function nearest(word: string, there: Iterable<string>): string | undefined {
  const most = word.length < 6 ? 1 : 2;
  let best: { one: string; far: number } | undefined;
  for (const one of there) {
    const far = distance(word, one, most);
    if (far <= most && far < (best?.far ?? most + 1)) best = { one, far };
  }
  return best?.one;
}
