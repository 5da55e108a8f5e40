import { deal, type DealRow } from "../../entities/deal.ts";
import { nobody, subjectIds } from "../../mixins/privacy/personal-data.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { about } from "../../mixins/records/writing/desk.ts";
import { recordPersonalData } from "../../mixins/records/personal-data.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import type { dealsContract } from "./deals.contract.ts";

const atOnce = 200;

/** Deals of a person's contacts. */
export function dealsPersonalData({
  organizationKeys,
}: Pick<Runtime, "organizationKeys">): PersonalDataHandlersOf<typeof dealsContract> {
  const records = recordPersonalData(deal, { organizationKeys });
  return {
    deals: {
      async find({ locals: { tx }, params: { person } }) {
        const rows = await tx.query<{ id: string }>({
          text: "SELECT id FROM deals WHERE contact_id = ANY ($1)",
          values: [subjectIds(person, "contact")],
        });
        return { ...nobody, subjects: rows.map(({ id }) => ({ kind: "deal", id })) };
      },
      export: (call) => records.export(call),
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
}
