import { references } from "../entities/kinds.ts";
import type { Runtime } from "../mixins/contract/service.ts";
import { ActiveUsers } from "../mixins/records/active-users.ts";
import type { RecordDesk } from "../mixins/records/desk.ts";
import { kinds } from "../mixins/records/kinds.ts";

/** What a service needs to work with records: every kind that is declared. */
export const recordDesk = ({
  database,
  definitions,
  organizationKeys: keys,
  recordQuota: quota,
}: Pick<Runtime, "database" | "definitions" | "organizationKeys" | "recordQuota">): RecordDesk => ({
  ...{ database, definitions, keys, kinds, references, quota },
  users: new ActiveUsers(),
});
