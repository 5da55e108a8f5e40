import type { OrganizationKeys } from "../encryption/organization-keys.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import {
  exportBytes,
  exportPage,
  recogniser,
  type PersonalDataAnswer,
  type PersonalDataParams,
  type Person,
} from "../privacy/personal-data.ts";
import { entomb } from "../privacy/tombstones.ts";
import { personalFields } from "./capabilities.ts";
import { forgetValue, openSensitive } from "./custom/values-apart.ts";
import { forgetImported } from "./importing/import.repository.ts";
import { stored, type AnyKind, type AnyRow, type Fields, type Kind } from "./kind/kind.ts";
import { nextVersion, type Changes } from "./writing/changes.ts";
import { about } from "./writing/desk.ts";
import { storeOf } from "./writing/store.ts";

const atOnce = 200;
const eventsAtOnce = 1_000;

/** What a record says of a person. */
interface Shown {
  /** Keys of custom fields, of sealed ones, and labels. */
  keys: string[];
  sealed: string[];
  tags: string[];
  /** Fields that say something of the person, with what takes its place. */
  fields: Readonly<Record<string, unknown>>;
}

interface Call<V extends "export" | "erase"> {
  locals: { tx: UnitOfWork };
  params: PersonalDataParams<V>;
}

/** How records of a kind are looked at. */
export interface Mentions<R extends AnyRow> {
  organizationKeys: OrganizationKeys;
  /** Columns that `fieldsOf` needs besides the record's, as SQL. */
  along?: string;
  /**
   * Fields of a record that say something of the person, by name, with what is to take its place.
   * @param shows whether a value shows the person
   */
  fieldsOf: (row: R, shows: (value: unknown) => boolean, person: Person) => Readonly<Record<string, unknown>>;
}

/**
 * Exports and erases what records say of a person that are nobody: values of custom fields, sealed ones too, labels, and what
 * `fieldsOf` names. An erasure goes through all of them and takes that away; the records stay.
 */
export function mentionsOf<R extends AnyRow, N extends string, F extends Fields>(
  typed: Kind<N, F>,
  { organizationKeys, along, fieldsOf }: Mentions<R>,
) {
  const kind = typed as unknown as AnyKind;
  const store = storeOf<AnyRow>(kind);
  const eventFields = new Set(personalFields(typed));
  const columns = [...kind.columns, ...(along === undefined ? [] : [along])].join(", ");
  const select = `SELECT ${columns} FROM ${kind.plural} WHERE $1::uuid IS NULL OR id > $1 ORDER BY id LIMIT ${atOnce}`;
  const sealedOf = async (tx: UnitOfWork, rows: readonly R[]) =>
    openSensitive(
      tx,
      await organizationKeys.of(tx.organizationId),
      kind,
      rows.map(({ id }) => id),
    );
  const looker = (person: Person) => {
    const shows = recogniser(person);
    return (row: R, sealed: Readonly<Record<string, unknown>>): Shown => ({
      keys: keysThat(shows, row.custom_fields as object),
      sealed: keysThat(shows, sealed),
      tags: (row.tags as string[]).filter(shows),
      fields: fieldsOf(row, shows, person),
    });
  };
  return {
    async export({
      locals: { tx },
      params: { person, after },
    }: Call<"export">): Promise<PersonalDataAnswer<"export">> {
      await organizationKeys.of(tx.organizationId); // before a connection is held
      const { rows, isCut } = await tx.queryWithin<R & Record<string, unknown>>({
        ...{ text: select, values: [after] },
        mostBytes: exportBytes,
      });
      const sensitive = await sealedOf(tx, rows);
      const whole = rows.map((row) => ({ ...row, sensitive_fields: sensitive.get(row.id) ?? {} }));
      const page = exportPage(whole, atOnce, ({ id }) => id, isCut);
      if (person === null) return page;
      const shownIn = looker(person);
      const theirs = (page.records as typeof whole).filter((row) =>
        isShown(shownIn(row, row.sensitive_fields)),
      );
      return { ...page, records: theirs };
    },
    async erase({
      locals: { tx },
      params: { person, after },
    }: Call<"erase">): Promise<PersonalDataAnswer<"erase">> {
      await organizationKeys.of(tx.organizationId);
      const rows = await tx.query<R & Record<string, unknown>>({
        ...{ text: `${select} FOR NO KEY UPDATE`, values: [after] },
      });
      const sensitive = await sealedOf(tx, rows);
      const shownIn = looker(person);
      const found = rows.flatMap((row) => {
        const shown = shownIn(row, sensitive.get(row.id) ?? {});
        return isShown(shown) ? [{ row, shown }] : [];
      });
      const ids = found.map(({ row }) => row.id);
      if (ids.length > 0) while ((await entomb(tx, ids, eventFields, eventsAtOnce)).hasMore);
      for (const { row, shown } of found) {
        const written = without(kind, row, shown, tx.now.toISOString());
        store.update(tx, [written]);
        for (const key of [...shown.keys, ...shown.sealed]) forgetValue(tx, row.id, key);
        about(tx, { kind, verb: "updated", row: written, actorId: null, changes: told(shown) });
      }
      if (ids.length > 0) {
        // what it takes to undo a merge, or an import, has it too
        tx.defer({ text: "DELETE FROM merges WHERE record_ids && $1::uuid[]", values: [ids] });
        forgetImported(tx, ids);
      }
      const next = rows.length === atOnce ? (rows.at(-1)?.id ?? null) : null;
      return { count: found.length, kept: 0, next };
    },
  };
}

const keysThat = (shows: (value: unknown) => boolean, values: object): string[] =>
  Object.entries(values).flatMap(([key, value]) => (shows(value) ? [key] : []));

const isShown = ({ keys, sealed, tags, fields }: Shown): boolean =>
  keys.length + sealed.length + tags.length + Object.keys(fields).length > 0;

function without(kind: AnyKind, row: AnyRow, { keys, tags, fields }: Shown, now: string): AnyRow {
  const gone = new Set(keys);
  const changed: Record<string, unknown> = {
    custom_fields: Object.fromEntries(
      Object.entries(row.custom_fields as object).filter(([key]) => !gone.has(key)),
    ),
    tags: (row.tags as string[]).filter((tag) => !tags.includes(tag)),
  };
  for (const [key, value] of Object.entries(fields)) {
    const field = kind.fields[key];
    if (field) Object.assign(changed, stored(key, field, value));
  }
  return nextVersion(row, now, changed);
}

/** What was there is not told. */
const told = ({ keys, sealed, tags, fields }: Shown): Changes =>
  Object.fromEntries(
    [
      ...[...keys, ...sealed].map((key) => `customFields.${key}`),
      ...(tags.length > 0 ? ["tags"] : []),
      ...Object.keys(fields),
    ].map((path) => [path, [null, null]]),
  );
