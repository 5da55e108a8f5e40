import { exportPage, nobody, subjectIds } from "../../mixins/privacy/personal-data.ts";
import { record, type PersonalDataHandlersOf } from "../contracts.ts";
import type { leadsContract } from "./leads.contract.ts";
import { audienceOf } from "../../mixins/records/ownership.ts";

type Handlers = PersonalDataHandlersOf<typeof leadsContract>;
const atOnce = 200;

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
