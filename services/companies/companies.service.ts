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
  const handlers: HandlersOf<typeof companiesContract> = recordHandlers(company, recordDesk(runtime));
  return createService(companiesContract, handlers, runtime, {
    personalData: companiesPersonalData(runtime),
  });
}
