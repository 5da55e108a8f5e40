import { company, type CompanyRow } from "../../entities/company.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { nobody } from "../../mixins/privacy/personal-data.ts";
import type { AnyRow } from "../../mixins/records/kind/kind.ts";
import { mentionsOf } from "../../mixins/records/mentions.ts";
import type { PersonalDataHandlersOf } from "../contracts.ts";
import type { companiesContract } from "./companies.contract.ts";

/** Companies are nobody, but what an organization keeps of them may name somebody, as a phone that is a person's own does. */
export const companiesPersonalData = ({
  organizationKeys,
}: Pick<Runtime, "organizationKeys">): PersonalDataHandlersOf<typeof companiesContract> => ({
  companies: {
    find: () => Promise.resolve(nobody),
    ...mentionsOf<CompanyRow & AnyRow, "company", typeof company.fields>(company, {
      organizationKeys,
      fieldsOf: ({ phone }, shows) => (phone !== null && shows(phone) ? { phone: null } : {}),
    }),
  },
});
