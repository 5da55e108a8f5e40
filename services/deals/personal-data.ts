import { deal, type DealRow } from "../../entities/deal.ts";
import { exportPage, nobody, subjectIds } from "../../mixins/privacy/personal-data.ts";
import { about } from "../../mixins/records/desk.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import type { dealsContract } from "./deals.contract.ts";

const atOnce = 200;

/** Deals of a person's contacts. */
export const dealsPersonalData: PersonalDataHandlersOf<typeof dealsContract> = {
  deals: {
    async find({ locals: { tx }, params: { person } }) {
      const rows = await tx.query<{ id: string }>({
        text: "SELECT id FROM deals WHERE contact_id = ANY ($1)",
        values: [subjectIds(person, "contact")],
      });
      return { ...nobody, subjects: rows.map(({ id }) => ({ kind: "deal", id })) };
    },
    async export({ locals: { tx }, params: { person, after } }) {
      const rows = await tx.query<{ id: string }>({
        text: `SELECT ${deal.columns.join(", ")} FROM deals
          WHERE ($1::uuid[] IS NULL OR id = ANY ($1)) AND ($2::uuid IS NULL OR id > $2) ORDER BY id LIMIT ${atOnce}`,
        values: [person && subjectIds(person, "deal"), after],
      });
      return exportPage(rows, atOnce, ({ id }) => id);
    },
    async erase({ locals: { tx }, params: { person } }) {
      const rows = await tx.query<DealRow & { was: string | null }>({
        text: `UPDATE deals d SET name = e.name, lost_reason = NULL, updated_at = $2, version = version + 1
          FROM (SELECT d.id, coalesce(c.name, 'Erased person') AS name FROM deals d LEFT JOIN companies c ON c.id = d.company_id
            WHERE d.id = ANY ($1) AND (d.lost_reason IS NOT NULL OR d.name <> coalesce(c.name, 'Erased person'))
            ORDER BY d.id LIMIT ${atOnce} FOR NO KEY UPDATE OF d) e
          WHERE d.id = e.id RETURNING ${deal.columns.map((column) => `d.${column}`).join(", ")}`,
        values: [subjectIds(person, "deal"), tx.now],
      });
      for (const row of rows) about(tx, { kind: deal, verb: "updated", row, actorId: null });
      return { count: rows.length, kept: 0, next: rows.length === atOnce ? "more" : null };
    },
  },
};
