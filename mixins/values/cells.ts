/** What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection), and what `inertCell` has made of one. */
const formula = /^'*[=+\-@\t\r]/;
const disarmed = /^'(?='*[=+\-@\t\r])/;

/** A cell that no spreadsheet takes for a formula: one more apostrophe stands before it. */
export const inertCell = (cell: string): string => (formula.test(cell) ? `'${cell}` : cell);

/** A cell as it was before `inertCell`: whoever reads a file back finds what was stored. */
export const armedCell = (cell: string): string => cell.replace(disarmed, "");

/** A cell as it may be stored: without NUL and halves of characters, which PostgreSQL does not take. */
export const storableCell = (cell: string): string => cell.replaceAll("\0", "\ufffd").toWellFormed();

/** Marks that turn the direction of reading, and joiners: they come along when a number or an address is copied. */
export const invisible = /[\u200b-\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]/g;

/** An email address as other programs write it: without marks that nobody sees, `mailto:`, and the name before `<asha@example.com>`. */
export function writtenEmail(cell: string): string {
  const plain = cell.replaceAll(invisible, "").trim();
  const [, address = plain] = /^[^<>]*<([^<>]+)>$/.exec(plain) ?? [];
  return address.replace(/^mailto:\s*([^?]*)(\?.*)?$/i, "$1").trim();
}
