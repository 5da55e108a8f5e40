/** Names by which columns are known, reduced to a-z and 0-9; the first that a file has is taken. */
export const knownNames: Record<string, readonly string[]> = {
  externalId: ["externalid", "prospectid", "leadid", "recordid", "crmid", "id"],
  firstName: ["firstname", "givenname", "forename", "fname", "fullname", "name"],
  lastName: ["lastname", "surname", "familyname", "lname"],
  email: ["email", "emailaddress", "emailid", "workemail", "mail"],
  phone: [
    ...["phone", "phonenumber", "mobile", "mobilenumber", "mobilephone", "telephone", "contactnumber"],
    "whatsapp",
  ],
  companyName: ["company", "companyname", "organization", "organisation", "accountname", "account"],
  title: ["jobtitle", "title", "designation"],
  source: ["leadsource", "source"],
  status: ["leadstatus", "status"],
  tags: ["tags", "labels"],
};
const allKnown = new Set(Object.values(knownNames).flat());

/** A heading reduced to a-z and 0-9; empty where a letter or digit is of another script, which it would be known without. */
export const letters = (heading: string): string =>
  /[^\p{Script=Latin}\p{Script=Common}\p{Script=Inherited}]/u.test(heading)
    ? ""
    : heading.toLowerCase().replaceAll(/[^a-z0-9]/g, "");

/** Whether columns of leads are often called so. */
export const isKnownColumn = (heading: string): boolean => allKnown.has(letters(heading));

/** The columns of an export of leads that the server sets itself: reading them back would change what they say. */
const setByServer = [
  "id",
  "score",
  "scoreReasons",
  "sensitive",
  "lastActivityAt",
  "createdAt",
  "updatedAt",
  "version",
];
/** As above, and no name that another program gives a column. */
const telling = ["scoreReasons", "lastActivityAt", "convertedAt", "customFields"];
const exported = new Set([
  ...["externalId", "firstName", "lastName", "email", "phone", "companyName", "title", "source", "status"],
  ...["assignedTo", "tags", "customFields", "consent", "convertedAt"],
  ...setByServer,
]);

/**
 * Where the columns of an export of ours go, when the file is one: each of its columns is named as an export names it, and one
 * as nobody else would.
 */
export function exportTargets(columns: readonly string[]): Map<string, string | null> {
  const isExport =
    columns.every((column) => exported.has(column)) && columns.some((column) => telling.includes(column));
  if (!isExport) return new Map();
  return new Map(columns.map((column) => [column, setByServer.includes(column) ? null : column]));
}
