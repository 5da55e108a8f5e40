import type { ServiceSchema } from "moleculer";
import { company } from "../../entities/company.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { recordHandlers } from "../../mixins/records/handlers.ts";
import type { HandlersOf } from "../contracts.ts";
import { recordDesk } from "../record-desk.ts";
import { companiesContract } from "./companies.contract.ts";
import { companiesPersonalData } from "./personal-data.ts";

/** Organizations that are sold to. */
export default function companiesService(runtime: Runtime): ServiceSchema {
  const records = recordHandlers(company, recordDesk(runtime));
  const handlers: HandlersOf<typeof companiesContract> = {
    ...records.crud,
    ...records.bulk,
    ...records.bulkChangeable,
    ...records.upsertable,
    ...records.restorable,
    ...records.historical,
    ...records.comparable,
    ...records.mergeable,
    ...records.importable,
    ...records.exportable,
  };
  return createService(companiesContract, handlers, runtime, {
    personalData: companiesPersonalData(runtime),
  });
}
