import { pageBytes } from "../../mixins/database/statement.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import {
  phoneMark,
  subjectIds,
  type PersonalDataAnswer,
  type PersonalDataParams,
} from "../../mixins/privacy/personal-data.ts";
import { entomb } from "../../mixins/privacy/tombstones.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import type { Desk } from "./desk.ts";
import { lead, type LeadRow } from "../../entities/lead.ts";
import type { leadsContract } from "./leads.contract.ts";
import { about } from "../../mixins/records/writing/desk.ts";
import { forgetImported } from "../../mixins/records/importing/import.repository.ts";
import { recordPersonalData, tellsOfSomebody } from "../../mixins/records/personal-data.ts";
import { leadStore, lockLeads } from "./leads.store.ts";
import { leadsPersonalData } from "./personal-data.contract.ts";
import { keysOfMarks, marksOf, personOf } from "../../mixins/privacy/person.ts";
import { forgetValues } from "../../mixins/records/custom/values-apart.ts";

const atOnce = 200;
const eventsAtOnce = 1_000;
const eventFields = new Set(leadsPersonalData.leads.fields);
const isSomebody = tellsOfSomebody(lead);
const remindersOfLead = `(SELECT coalesce(json_agg(json_build_object('remind_at', r.remind_at, 'note', r.note,
    'reminded_at', r.reminded_at, 'user_id', r.user_id) ORDER BY r.remind_at), '[]')
  FROM lead_reminders r WHERE r.lead_id = leads.id) AS reminders`;

/** Finds, exports, erases and forgets what leads hold of persons. */
export function leadsPersonalDataHandlers({
  keys,
}: Pick<Desk, "keys">): PersonalDataHandlersOf<typeof leadsContract> {
  const records = recordPersonalData(lead, { organizationKeys: keys, along: remindersOfLead });
  return {
    leads: {
      async find({ locals: { tx }, params: { person } }) {
        const { emails, phones } = keysOfMarks(person);
        const rows = await tx.query<LeadRow>({
          text: `SELECT id, email, phone, first_name, last_name FROM leads WHERE ${isSomebody} AND id IN (
          SELECT id FROM leads WHERE email = ANY ($1)
          UNION SELECT id FROM leads WHERE phone = ANY ($2)
          UNION SELECT id FROM leads WHERE id = ANY ($3)
          UNION SELECT lead_id FROM contacts WHERE email = ANY ($1) OR phone = ANY ($2) OR id = ANY ($4))`,
          values: [emails, phones, subjectIds(person, "lead"), subjectIds(person, "contact")],
        });
        const found = personOf("lead", rows);
        // a phone that was asked for may have been written as people do
        return {
          ...found,
          phones: [...phones, ...found.phones],
          marks: [...phones.map(phoneMark), ...found.marks],
        };
      },
      export: (call) => records.export(call),
      erase: eraseLeads,
      expire: expireLeads,
    },
  };
}

async function eraseLeads({
  locals: { tx },
  params: { person, after },
}: {
  locals: { tx: UnitOfWork };
  params: PersonalDataParams<"erase">;
}): Promise<PersonalDataAnswer<"erase">> {
  const asked = subjectIds(person, "lead")
    .toSorted()
    .filter((id) => after === null || id > after)
    .slice(0, atOnce);
  const { rows: locked, isCut } = await lockLeads(tx, asked);
  const end = isCut ? locked.at(-1)?.id : undefined;
  const ids = asked.filter((id) => end === undefined || id <= end);
  const rows = locked.filter((row) => row.deleted_at === null || marksOf(row).length > 0 || hasName(row));
  anonymise(tx, rows);
  tx.defer({ text: "DELETE FROM lead_reminders WHERE lead_id = ANY ($1)", values: [ids] });
  forgetValues(tx, ids);
  forgetMerges(tx, ids);
  // an import that is turned back leaves these leads as they are
  forgetImported(tx, ids);
  return { count: rows.length, kept: 0, next: isCut || ids.length === atOnce ? (ids.at(-1) ?? null) : null };
}

const hasName = (row: LeadRow): boolean =>
  [row.external_id, row.first_name, row.last_name, row.company_name, row.title].some(
    (value) => value !== null,
  )
  || row.tags.length > 0
  || Object.keys(row.custom_fields).length + Object.keys(row.consent).length > 0;

/** Leaves of leads what says nothing of the person, and deletes them for everybody who shows them. */
function anonymise(tx: UnitOfWork, leads: readonly LeadRow[]): void {
  const now = tx.now.toISOString();
  const rows = leads.map((former) => ({
    ...former,
    ...{ external_id: null, first_name: null, last_name: null, email: null, phone: null, company_name: null },
    ...{ title: null, tags: [], custom_fields: {}, consent: {}, score_reasons: [] },
    deleted_at: former.deleted_at ?? now,
    updated_at: now,
    version: former.version + 1,
  }));
  leadStore.update(tx, rows);
  for (const row of rows) about(tx, { kind: lead, verb: "deleted", row, actorId: null });
}

/** What it takes to undo merges of these leads says who they were. */
function forgetMerges(tx: UnitOfWork, ids: readonly string[]): void {
  tx.defer({ text: "DELETE FROM merges WHERE record_ids && $1::uuid[]", values: [ids] });
}

/** Closed and deleted leads that nobody has touched since `before` go, and with them all that hangs on them; their events become tombstones. */
async function expireLeads({
  locals: { tx },
  params: { before, after },
}: {
  locals: { tx: UnitOfWork };
  params: PersonalDataParams<"expire">;
}): Promise<PersonalDataAnswer<"expire">> {
  const { rows, isCut } = await tx.queryWithin<LeadRow>({
    text: `SELECT ${lead.columns.join(", ")} FROM leads
      WHERE updated_at < $1 AND (deleted_at IS NOT NULL OR status IN ('converted', 'unqualified'))
        AND ($2::uuid IS NULL OR id > $2)
      ORDER BY id LIMIT ${atOnce} FOR UPDATE SKIP LOCKED`,
    values: [before, after],
    mostBytes: pageBytes,
  });
  anonymise(
    tx,
    rows.filter(({ deleted_at: deletedAt }) => deletedAt === null),
  );
  const ids = rows.map(({ id }) => id);
  // nobody could find them any more once the leads are gone
  while ((await entomb(tx, ids, eventFields, eventsAtOnce)).hasMore);
  tx.defer({ text: "UPDATE contacts SET lead_id = NULL WHERE lead_id = ANY ($1)", values: [ids] });
  forgetImported(tx, ids);
  forgetValues(tx, ids);
  forgetMerges(tx, ids);
  tx.defer({ text: "DELETE FROM leads WHERE id = ANY ($1)", values: [ids] });
  return { count: rows.length, next: isCut || rows.length === atOnce ? (ids.at(-1) ?? null) : null };
}
