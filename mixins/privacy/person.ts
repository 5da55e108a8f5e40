import { normalisePhone, phoneForms } from "../values/phone.ts";
import { emailMark, phoneMark, type Person } from "./personal-data.ts";

/** The keys that records are looked up by: what was asked for, and what found records are known by. */
export function keysOfMarks({ marks }: Person): { emails: string[]; phones: string[] } {
  const after = (prefix: string) =>
    marks.filter((mark) => mark.startsWith(prefix)).map((mark) => mark.slice(prefix.length));
  return {
    emails: after(emailMark("")),
    phones: after(phoneMark("")).flatMap((phone) => phoneForms(normalisePhone(phone) ?? phone)),
  };
}

/** What somebody is known by. A phone may be a whole office's: it stands for a person only where there is no email. */
export const marksOf = ({ email, phone }: { email: string | null; phone: string | null }): string[] => {
  if (email !== null) return [emailMark(email)];
  return phone === null ? [] : [phoneMark(phone)];
};

/** Columns by which a record says who somebody is. */
export interface PersonRow {
  id: string;
  email: string | null;
  phone: string | null;
  first_name: string | null;
  last_name: string | null;
}
/** What rows with these columns say of a person. */
export const personOf = (kind: string, rows: readonly PersonRow[]): Person => ({
  subjects: rows.map(({ id }) => ({ kind, id })),
  emails: rows.flatMap(({ email }) => email ?? []),
  phones: rows.flatMap(({ phone }) => phone ?? []),
  names: rows.flatMap((row) => (row.first_name && row.last_name ? `${row.first_name} ${row.last_name}` : [])),
  marks: rows.flatMap(marksOf),
});
