import { lead } from "../../entities/lead.ts";
import { CallFields, type CustomDesk } from "../../mixins/records/custom/of-call.ts";
import type { PipelineCache } from "../../mixins/sales/pipelines.ts";
import type { RecordDesk } from "../../mixins/records/writing/desk.ts";
import type { Ctx } from "../contracts.ts";
import type { SettingsCache } from "./settings.ts";

/** What the actions of leads share within a process. */
export interface Desk extends RecordDesk {
  settings: SettingsCache;
  /** Where the deals of converted leads go. */
  pipelines: PipelineCache;
}

/** The part of a context by which an action asks other services. */
export type Caller = Pick<Ctx<"leads.get">, "call" | "locals">;

/** The custom fields of leads as a call sees them; before its transaction. */
export const leadFields = (ctx: Pick<Caller, "locals">, desk: CustomDesk): Promise<CallFields> =>
  CallFields.of(ctx, desk, lead);
