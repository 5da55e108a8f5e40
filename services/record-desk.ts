import { kinds, references } from "../entities/kinds.ts";
import type { Runtime } from "../mixins/contract/service.ts";
import { ActiveUsers } from "../mixins/records/active-users.ts";
import type { RecordDesk } from "../mixins/records/desk.ts";

/** What a service needs to work with records: every kind, as `entities/` declares it. */
export const recordDesk = ({
  database,
  definitions,
  organizationKeys: keys,
}: Pick<Runtime, "database" | "definitions" | "organizationKeys">): RecordDesk => ({
  ...{ database, definitions, keys, kinds, references },
  users: new ActiveUsers(),
});
