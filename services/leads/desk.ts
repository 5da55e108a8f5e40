import type { Database } from "../../mixins/database/database.ts";
import type { OrganizationKeys } from "../../mixins/encryption/organization-keys.ts";
import type { ActiveUsers } from "../../mixins/records/active-users.ts";
import type { Ctx } from "../contracts.ts";
import type { LeadQuota } from "./quota.ts";
import type { SettingsCache } from "./settings.ts";

/** What the actions of leads share within a process. */
export interface Desk {
  database: Database;
  settings: SettingsCache;
  users: ActiveUsers;
  keys: OrganizationKeys;
  quota: LeadQuota;
}

/** The part of a context by which an action asks other services. */
export type Caller = Pick<Ctx<"leads.get">, "call" | "locals">;
