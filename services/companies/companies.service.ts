import type { ServiceSchema } from "moleculer";
import { company } from "../../entities/company.ts";
import { kinds } from "../../entities/kinds.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { ActiveUsers } from "../../mixins/records/active-users.ts";
import { recordHandlers } from "../../mixins/records/handlers.ts";
import { mayStillSee } from "../../mixins/records/may-still-see.ts";
import type { HandlersOf } from "../contracts.ts";
import { companiesContract } from "./companies.contract.ts";

/** Organizations that are sold to. */
export default function companiesService(runtime: Runtime): ServiceSchema {
  const { database } = runtime;
  const records = recordHandlers(company, { database, users: new ActiveUsers(), kinds });
  const handlers: HandlersOf<typeof companiesContract> = {
    ...records.crud,
    ...records.bulk,
    ...records.upsertable,
    ...records.restorable,
    ...records.historical,
    ...records.comparable,
  };
  return createService(companiesContract, handlers, runtime, { mayStillSee: mayStillSee(company) });
}
