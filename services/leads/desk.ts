import type { OrganizationKeys } from "../../mixins/encryption/organization-keys.ts";
import type { RecordDesk } from "../../mixins/records/desk.ts";
import type { Ctx } from "../contracts.ts";
import type { LeadQuota } from "./quota.ts";
import type { SettingsCache } from "./settings.ts";

/** What the actions of leads share within a process. */
export interface Desk extends RecordDesk {
  settings: SettingsCache;
  keys: OrganizationKeys;
  quota: LeadQuota;
}

/** The part of a context by which an action asks other services. */
export type Caller = Pick<Ctx<"leads.get">, "call" | "locals">;
