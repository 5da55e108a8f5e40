import { exportBytes, exportPage, nobody, subjectIds } from "../../mixins/privacy/personal-data.ts";
import { record, type PersonalDataHandlersOf } from "../contracts.ts";
import type { LeadRow } from "./lead-row.ts";
import type { leadsContract } from "./leads.contract.ts";
import { audienceOf } from "./leads.events.ts";
import { keysOfMarks, personOf } from "./personal-data.person.ts";

type Handlers = PersonalDataHandlersOf<typeof leadsContract>;
const atOnce = 200;

/** Contacts of a person. */
export const contactData: Handlers["contacts"] = {
  async find({ locals: { tx }, params: { person } }) {
    const { emails, phones } = keysOfMarks(person);
    const rows = await tx.query<LeadRow>({
      text: `SELECT id, email, phone, first_name, last_name FROM contacts
        WHERE (deleted_at IS NULL OR num_nonnulls(first_name, last_name, email, phone, title) > 0
          OR tags <> '{}' OR custom_fields <> '{}' OR consent <> '{}') AND id IN (
          SELECT id FROM contacts WHERE email = ANY ($1)
          UNION SELECT id FROM contacts WHERE phone = ANY ($2)
          UNION SELECT id FROM contacts WHERE lead_id = ANY ($3)
          UNION SELECT id FROM contacts WHERE id = ANY ($4))`,
      values: [emails, phones, subjectIds(person, "lead"), subjectIds(person, "contact")],
    });
    return personOf("contact", rows);
  },
  async export({ locals: { tx }, params: { person, after } }) {
    const { rows, isCut } = await tx.queryWithin<{ id: string }>({
      text: `SELECT id, first_name, last_name, email, phone, title, lifecycle_stage, company_id,
          (SELECT name FROM companies c WHERE c.id = contacts.company_id) AS company_name,
          lead_id, assigned_to, tags, custom_fields, consent, created_at, updated_at, deleted_at
        FROM contacts WHERE ($1::uuid[] IS NULL OR id = ANY ($1)) AND ($2::uuid IS NULL OR id > $2)
        ORDER BY id LIMIT ${atOnce}`,
      values: [person && subjectIds(person, "contact"), after],
      mostBytes: exportBytes,
    });
    return exportPage(rows, atOnce, ({ id }) => id, isCut);
  },
  async erase({ locals: { tx }, params: { person } }) {
    const rows = await tx.query<{
      id: string;
      version: number;
      lead_id: string | null;
      assigned_to: string | null;
    }>({
      text: `UPDATE contacts SET first_name = NULL, last_name = NULL, email = NULL, phone = NULL, title = NULL, tags = '{}',
          custom_fields = '{}', consent = '{}', deleted_at = coalesce(deleted_at, $2), updated_at = $2, version = version + 1
        WHERE id IN (SELECT id FROM contacts WHERE id = ANY ($1)
          AND (deleted_at IS NULL OR num_nonnulls(first_name, last_name, email, phone, title) > 0)
          ORDER BY id LIMIT ${atOnce} FOR NO KEY UPDATE)
        RETURNING id, version, lead_id, assigned_to`,
      values: [subjectIds(person, "contact"), tx.now],
    });
    for (const row of rows)
      record(tx, {
        type: "contact.deleted",
        entity: { kind: "contact", id: row.id, version: row.version },
        actorId: null,
        audience: audienceOf(row.assigned_to),
        data: { contactId: row.id, leadId: row.lead_id },
      });
    return { count: rows.length, kept: 0, next: rows.length === atOnce ? "more" : null };
  },
};

/** Deals of a person's contacts. */
export const dealData: Handlers["deals"] = {
  async find({ locals: { tx }, params: { person } }) {
    const rows = await tx.query<{ id: string }>({
      text: "SELECT id FROM deals WHERE contact_id = ANY ($1)",
      values: [subjectIds(person, "contact")],
    });
    return { ...nobody, subjects: rows.map(({ id }) => ({ kind: "deal", id })) };
  },
  async export({ locals: { tx }, params: { person, after } }) {
    const rows = await tx.query<{ id: string }>({
      text: `SELECT id, name, amount, currency, pipeline_id, stage_id, owner_id, contact_id, company_id, status, lost_reason,
          expected_close_at, created_at, updated_at, deleted_at
        FROM deals WHERE ($1::uuid[] IS NULL OR id = ANY ($1)) AND ($2::uuid IS NULL OR id > $2)
        ORDER BY id LIMIT ${atOnce}`,
      values: [person && subjectIds(person, "deal"), after],
    });
    return exportPage(rows, atOnce, ({ id }) => id);
  },
  async erase({ locals: { tx }, params: { person } }) {
    const rows = await tx.query<{ id: string; version: number; name: string; owner_id: string | null }>({
      text: `UPDATE deals d SET name = e.name, lost_reason = NULL, updated_at = $2, version = version + 1
        FROM (SELECT d.id, coalesce(c.name, 'Erased person') AS name FROM deals d LEFT JOIN companies c ON c.id = d.company_id
          WHERE d.id = ANY ($1) AND (d.lost_reason IS NOT NULL OR d.name <> coalesce(c.name, 'Erased person'))
          ORDER BY d.id LIMIT ${atOnce} FOR NO KEY UPDATE OF d) e
        WHERE d.id = e.id RETURNING d.id, d.version, d.name, d.owner_id`,
      values: [subjectIds(person, "deal"), tx.now],
    });
    for (const row of rows)
      record(tx, {
        type: "deal.updated",
        entity: { kind: "deal", id: row.id, version: row.version },
        actorId: null,
        audience: audienceOf(row.owner_id),
        data: { dealId: row.id, changes: ["name", "lostReason"] },
      });
    return { count: rows.length, kept: 0, next: rows.length === atOnce ? "more" : null };
  },
};
