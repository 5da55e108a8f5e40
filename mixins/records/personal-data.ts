import type { OrganizationKeys } from "../encryption/organization-keys.ts";
import { marksOf, keysOfMarks } from "../privacy/person.ts";
import {
  exportBytes,
  exportPage,
  personalData,
  subjectIds,
  type Person,
  type PersonalDataAnswer,
  type PersonalDataParams,
  type PersonalDataVerb,
} from "../privacy/personal-data.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import { personalFields } from "./capabilities.ts";
import { forgetValues, openSensitive } from "./custom/values-apart.ts";
import { about } from "./writing/desk.ts";
import type { Field } from "./kind/fields.ts";
import { forgetImported } from "./importing/import.repository.ts";
import { stored, type AnyKind, type AnyRow } from "./kind/kind.ts";
import { columnOf, Values } from "./finding/listing.ts";
import { storeOf } from "./writing/store.ts";
import { fallbackSql } from "./kind/table-sql.ts";

const atOnce = 200;

/** What a contract says of the persons in records of a kind. Bodies come from `recordPersonalData`. */
export const personalDataOf = (kind: Pick<AnyKind, "name" | "plural" | "fields">) =>
  personalData({
    summary: `Records of the kind ${kind.name}; each stays as a deleted one, without what tells of the person`,
    tables: [kind.plural],
    fields: personalFields(kind),
  });

interface Call<V extends PersonalDataVerb> {
  locals: { tx: UnitOfWork };
  params: PersonalDataParams<V>;
}

/** Whether a record of the kind still tells of somebody, as SQL: by what its callers give, not by what is computed of it. */
export const tellsOfSomebody = ({ fields }: Pick<AnyKind, "fields">): string =>
  `(${Object.entries(fields)
    .filter(([, { personal, setBy }]) => personal && setBy === "caller")
    .map(([key, field]) =>
      field.fallback === undefined
        ? `${columnOf(key)} IS NOT NULL`
        : `${columnOf(key)} <> ${fallbackSql(field)}`,
    )
    .join(" OR ")})`;

/**
 * Finds, exports and erases the records of a kind that tell of a person, by what its fields say of themselves.
 * @param parts.along what an export shows of each record besides, as SQL: `(SELECT …) AS reminders`
 */
export function recordPersonalData(
  kind: AnyKind,
  { organizationKeys, along }: { organizationKeys: OrganizationKeys; along?: string },
) {
  const store = storeOf<AnyRow>(kind);
  const { name, plural: table } = kind;
  const personal = Object.entries(kind.fields).filter(([, field]) => field.personal);
  const columnsWith = (as: Field["personal"]) =>
    personal.filter(([, field]) => field.personal === as).map(([key]) => columnOf(key));
  const [emails, phones, names] = [columnsWith("email"), columnsWith("phone"), columnsWith("name")];
  const emptied = Object.assign(
    {},
    ...personal.map(([key, field]) => stored(key, field, field.fallback ?? null)),
  ) as object;
  const isSomebody = tellsOfSomebody(kind);
  const textsIn = (row: AnyRow, columns: readonly string[]) =>
    columns.flatMap((column) => (row[column] as string | null) ?? []);

  return {
    async find({ locals: { tx }, params: { person } }: Call<"find">): Promise<Person> {
      const known = keysOfMarks(person);
      const values = new Values();
      const whoHas = (columns: readonly string[], given: readonly string[]) =>
        columns.map(
          (column) => `SELECT id FROM ${table} WHERE ${column} = ANY (${values.add(given)}::text[])`,
        );
      const ways = [
        ...whoHas(emails, known.emails),
        ...whoHas(phones, known.phones),
        `SELECT id FROM ${table} WHERE id = ANY (${values.add(subjectIds(person, name))}::uuid[])`,
      ];
      const rows = await tx.query<AnyRow>({
        text: `SELECT ${["id", ...emails, ...phones, ...names].join(", ")} FROM ${table}
          WHERE (deleted_at IS NULL OR ${isSomebody}) AND id IN (${ways.join(" UNION ")})`,
        values: values.list,
      });
      return {
        subjects: rows.map(({ id }) => ({ kind: name, id })),
        emails: rows.flatMap((row) => textsIn(row, emails)),
        phones: rows.flatMap((row) => textsIn(row, phones)),
        // of first and last name both: one of two says nobody
        names: rows
          .map((row) => textsIn(row, names))
          .filter((texts) => texts.length > 0 && texts.length === names.length)
          .map((texts) => texts.join(" ")),
        marks: rows.flatMap((row) =>
          marksOf({ email: textsIn(row, emails)[0] ?? null, phone: textsIn(row, phones)[0] ?? null }),
        ),
      };
    },
    async export({
      locals: { tx },
      params: { person, after },
    }: Call<"export">): Promise<PersonalDataAnswer<"export">> {
      const cipher = await organizationKeys.of(tx.organizationId); // before a connection is held
      const { rows, isCut } = await tx.queryWithin<{ id: string }>({
        text: `SELECT ${[...kind.columns, ...(along === undefined ? [] : [along])].join(", ")} FROM ${table}
          WHERE ($1::uuid[] IS NULL OR id = ANY ($1)) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT ${atOnce}`,
        values: [person && subjectIds(person, name), after],
        mostBytes: exportBytes,
      });
      const sensitive = await openSensitive(
        tx,
        cipher,
        kind,
        rows.map(({ id }) => id),
      );
      const whole = rows.map((row) => ({ ...row, sensitive_fields: sensitive.get(row.id) ?? {} }));
      return exportPage(whole, atOnce, ({ id }) => id, isCut);
    },
    async erase({ locals: { tx }, params: { person } }: Call<"erase">): Promise<PersonalDataAnswer<"erase">> {
      const ids = subjectIds(person, name);
      const rows = await tx.query<AnyRow>({
        text: `SELECT ${kind.columns.join(", ")} FROM ${table}
          WHERE id = ANY ($1) AND (deleted_at IS NULL OR ${isSomebody}) ORDER BY id LIMIT ${atOnce} FOR NO KEY UPDATE`,
        values: [ids],
      });
      const now = tx.now.toISOString();
      const erased = rows.map((row): AnyRow => ({
        ...row,
        ...emptied,
        ...{ deleted_at: row.deleted_at ?? now, updated_at: now, version: row.version + 1 },
      }));
      store.update(tx, erased);
      forgetValues(tx, ids);
      forgetImported(tx, ids);
      tx.defer({ text: "DELETE FROM merges WHERE record_ids && $1::uuid[]", values: [ids] });
      for (const row of erased) about(tx, { kind, verb: "deleted", row, actorId: null });
      return { count: erased.length, kept: 0, next: erased.length === atOnce ? "more" : null };
    },
  };
}
