import { references } from "../entities/kinds.ts";
import type { Runtime } from "../mixins/contract/service.ts";
import { ActiveUsers } from "../mixins/records/writing/active-users.ts";
import type { RecordDesk } from "../mixins/records/writing/desk.ts";
import { kinds } from "../mixins/records/kind/kinds.ts";
import { importFile } from "./imports/import-file.ts";

/** One for all services of a process: what it remembers has its place made at start, 20 ms and 6 MB of it. */
const usersOf = new WeakMap<Runtime["database"], ActiveUsers>();

/** What a service needs to work with records: every kind that is declared. */
export const recordDesk = ({
  access,
  database,
  definitions,
  organizationKeys: keys,
  organizations,
  recordQuota: quota,
}: Pick<
  Runtime,
  "access" | "database" | "definitions" | "organizationKeys" | "organizations" | "recordQuota"
>): RecordDesk => {
  const users = usersOf.get(database) ?? new ActiveUsers();
  usersOf.set(database, users);
  return {
    ...{ access, database, definitions, keys, kinds, references, quota, users },
    countryOf: async (organizationId) => (await organizations.of(organizationId)).country,
    takeFile: (ctx, kind) => importFile(ctx, { database, organizations }, kind),
  };
};
