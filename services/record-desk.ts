import { references } from "../entities/kinds.ts";
import type { Runtime } from "../mixins/contract/service.ts";
import { ActiveUsers } from "../mixins/records/active-users.ts";
import type { RecordDesk } from "../mixins/records/desk.ts";
import { kinds } from "../mixins/records/kinds.ts";
import { importFile } from "./imports/import-file.ts";

/** What a service needs to work with records: every kind that is declared. */
export const recordDesk = ({
  database,
  definitions,
  organizationKeys: keys,
  organizations,
  recordQuota: quota,
}: Pick<
  Runtime,
  "database" | "definitions" | "organizationKeys" | "organizations" | "recordQuota"
>): RecordDesk => ({
  ...{ database, definitions, keys, kinds, references, quota },
  users: new ActiveUsers(),
  countryOf: async (organizationId) => (await organizations.of(organizationId)).country,
  takeFile: (ctx, kind) => importFile(ctx, { database, organizations }, kind),
});
