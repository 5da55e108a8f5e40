import { company, type CompanyRow } from "../../entities/company.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import {
  exportBytes,
  exportPage,
  nobody,
  recogniser,
  type PersonalDataAnswer,
} from "../../mixins/privacy/personal-data.ts";
import { entomb } from "../../mixins/privacy/tombstones.ts";
import { personalFields } from "../../mixins/records/capabilities.ts";
import { nextVersion, type Changes } from "../../mixins/records/writing/changes.ts";
import { forgetValue, openSensitive } from "../../mixins/records/custom/values-apart.ts";
import { about } from "../../mixins/records/writing/desk.ts";
import type { AnyRow } from "../../mixins/records/kind/kind.ts";
import { storeOf } from "../../mixins/records/writing/store.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import type { companiesContract } from "./companies.contract.ts";

type Company = CompanyRow & AnyRow;
const atOnce = 200;
const eventsAtOnce = 1_000;
const store = storeOf<Company>(company);
const eventFields = new Set(personalFields(company));

/** What a company says of a person: values of custom fields, labels, its phone. */
interface Shown {
  keys: string[];
  sealed: string[];
  tags: string[];
  phone: boolean;
}

/**
 * Companies are nobody, but what an organization keeps of them may name somebody: its custom fields, sealed ones too, its labels, a
 * phone that is a person's own. An erasure goes through all of them and takes that away; the company stays.
 */
export const companiesPersonalData = ({
  organizationKeys,
}: Pick<Runtime, "organizationKeys">): PersonalDataHandlersOf<typeof companiesContract> => ({
  companies: {
    find: () => Promise.resolve(nobody),
    async export({ locals: { tx }, params: { person, after } }) {
      const cipher = await organizationKeys.of(tx.organizationId); // before a connection is held
      const { rows, isCut } = await tx.queryWithin<Company>({
        text: `SELECT ${company.columns.join(", ")} FROM companies WHERE $1::uuid IS NULL OR id > $1
          ORDER BY id LIMIT ${atOnce}`,
        values: [after],
        mostBytes: exportBytes,
      });
      const sensitive = await openSensitive(
        tx,
        cipher,
        company,
        rows.map(({ id }) => id),
      );
      const whole = rows.map((row) => ({ ...row, sensitive_fields: sensitive.get(row.id) ?? {} }));
      const page = exportPage(whole, atOnce, ({ id }) => id, isCut);
      if (person === null) return page;
      const shows = recogniser(person);
      const theirs = (page.records as typeof whole).filter((row) =>
        isShown(shownIn(row, row.sensitive_fields, shows)),
      );
      return { ...page, records: theirs };
    },
    async erase({ locals: { tx }, params: { person, after } }): Promise<PersonalDataAnswer<"erase">> {
      const cipher = await organizationKeys.of(tx.organizationId);
      const rows = await tx.query<Company>({
        text: `SELECT ${company.columns.join(", ")} FROM companies WHERE $1::uuid IS NULL OR id > $1
          ORDER BY id LIMIT ${atOnce} FOR NO KEY UPDATE`,
        values: [after],
      });
      const sensitive = await openSensitive(
        tx,
        cipher,
        company,
        rows.map(({ id }) => id),
      );
      const shows = recogniser(person);
      const found = rows.flatMap((row) => {
        const shown = shownIn(row, sensitive.get(row.id) ?? {}, shows);
        return isShown(shown) ? [{ row, shown }] : [];
      });
      const ids = found.map(({ row }) => row.id);
      if (ids.length > 0) while ((await entomb(tx, ids, eventFields, eventsAtOnce)).hasMore);
      for (const { row, shown } of found) {
        const written = without(row, shown, tx.now.toISOString());
        store.update(tx, [written]);
        for (const key of [...shown.keys, ...shown.sealed]) forgetValue(tx, row.id, key);
        about(tx, { kind: company, verb: "updated", row: written, actorId: null, changes: told(shown) });
      }
      // what it takes to undo a merge has it too
      if (ids.length > 0)
        tx.defer({ text: "DELETE FROM merges WHERE record_ids && $1::uuid[]", values: [ids] });
      const next = rows.length === atOnce ? (rows.at(-1)?.id ?? null) : null;
      return { count: found.length, kept: 0, next };
    },
  },
});

function shownIn(
  row: Company,
  sealed: Readonly<Record<string, unknown>>,
  shows: (value: unknown) => boolean,
): Shown {
  const keysOf = (values: Readonly<Record<string, unknown>>) =>
    Object.entries(values).flatMap(([key, value]) => (shows(value) ? [key] : []));
  return {
    keys: keysOf(row.custom_fields),
    sealed: keysOf(sealed),
    tags: row.tags.filter(shows),
    phone: row.phone !== null && shows(row.phone),
  };
}

const isShown = ({ keys, sealed, tags, phone }: Shown): boolean =>
  phone || keys.length + sealed.length + tags.length > 0;

function without(row: Company, { keys, tags, phone }: Shown, now: string): Company {
  const gone = new Set(keys);
  return nextVersion(row, now, {
    custom_fields: Object.fromEntries(Object.entries(row.custom_fields).filter(([key]) => !gone.has(key))),
    tags: row.tags.filter((tag) => !tags.includes(tag)),
    ...(phone ? { phone: null } : {}),
  });
}

/** What was there is not told. */
const told = ({ keys, sealed, tags, phone }: Shown): Changes =>
  Object.fromEntries(
    [
      ...[...keys, ...sealed].map((key) => `customFields.${key}`),
      ...(tags.length > 0 ? ["tags"] : []),
      ...(phone ? ["phone"] : []),
    ].map((path) => [path, [null, null]]),
  );
