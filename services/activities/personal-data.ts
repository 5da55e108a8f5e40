import { activity } from "../../entities/activity.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { nobody } from "../../mixins/privacy/personal-data.ts";
import { recordPersonalData } from "../../mixins/records/personal-data.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import type { activitiesContract } from "./activities.contract.ts";

/** What was done with a person: activities of their leads and contacts. */
export function activitiesPersonalData({
  organizationKeys,
}: Pick<Runtime, "organizationKeys">): PersonalDataHandlersOf<typeof activitiesContract> {
  return {
    activities: {
      ...recordPersonalData(activity, { organizationKeys }),
      async find({ locals: { tx }, params: { person } }) {
        const ids = person.subjects.flatMap(({ kind, id }) =>
          kind === "lead" || kind === "contact" ? [id] : [],
        );
        const rows = await tx.query<{ id: string }>({
          text: "SELECT id FROM activities WHERE related_to = ANY ($1)",
          values: [ids],
        });
        return { ...nobody, subjects: rows.map(({ id }) => ({ kind: "activity", id })) };
      },
    },
  };
}
