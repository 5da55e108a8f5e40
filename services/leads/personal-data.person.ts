import { emailMark, phoneMark, type Person } from "../../mixins/privacy/personal-data.ts";
import { normalisePhone, phoneForms } from "../../mixins/values/phone.ts";
import type { LeadRow } from "./lead-row.ts";

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

/** What rows with these columns say of a person. */
export const personOf = (
  kind: string,
  rows: readonly Pick<LeadRow, "id" | "email" | "phone" | "first_name" | "last_name">[],
): Person => ({
  subjects: rows.map(({ id }) => ({ kind, id })),
  emails: rows.flatMap(({ email }) => email ?? []),
  phones: rows.flatMap(({ phone }) => phone ?? []),
  names: rows.flatMap((row) => (row.first_name && row.last_name ? `${row.first_name} ${row.last_name}` : [])),
  marks: rows.flatMap(marksOf),
});
