import type { ServiceSchema } from "moleculer";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import type { HandlersOf } from "../contracts.ts";
import { create, get, list, remove, update } from "./teams.actions.ts";
import { teamsContract } from "./teams.contract.ts";

const handlers: HandlersOf<typeof teamsContract> = { list, create, get, update, remove };

/** Who manages whom, and so sees whose records. */
export default (runtime: Runtime): ServiceSchema => createService(teamsContract, handlers, runtime);
