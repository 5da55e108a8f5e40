import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { kinds } from "../../entities/kinds.ts";
import { tellsOfPersons } from "../../mixins/records/kind/kinds.ts";
import { contracts } from "../../services/contracts.ts";
import type { Contract } from "../../mixins/contract/contract.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { Database } from "../../mixins/database/database.ts";

const declared = (contracts as readonly Contract[]).flatMap(({ personalData }) =>
  Object.values(personalData).flatMap(({ tables }) => tables),
);
/** Tables that no contract declares, and why they hold nothing of a person. */
const withoutPersons: Record<string, string> = {
  ...Object.fromEntries(
    [...kinds.values()]
      .filter((kind) => !tellsOfPersons(kind) && !declared.includes(kind.table))
      .map(({ table }) => [table, "no field says who somebody is"]),
  ),
  actor_inbox: "answers of actors: ids of users",
  actor_reminders: "times and parameters of actors",
  actors: "states of actors: ids of leads and users",
  analytics_refreshes: "places in feeds",
  assignment_pools: "settings: ids of users",
  custom_fields: "settings",
  event_heads: "a count",
  lead_days: "counts: ids of users",
  listener_cursors: "counts",
  listener_holds: "ids",
  operations: "what is asked and written, until it is over; counts and ids afterwards",
  received_ids: "ids of messages",
  retention_settings: "settings",
  scoring_rules: "settings",
  teams: "names, and ids of users",
  "control.api_usage": "counts",
  "control.deprecated_calls": "counts",
  "control.erasure_receipts": "counts, and the id of a user who is erased",
  "control.federation_settings": "settings",
  "control.organization_keys": "wrapped keys",
  "control.revocations": "ids, until the tokens they end would have ended",
  "control.organizations": "names and domains of companies",
  "control.roles": "names and permissions",
  "control.organization_shards": "places",
  "control.saml_assertions": "hashes, until the assertions end",
  "control.sign_in_attempts": "hashes and sealed secrets, for ten minutes",
};
/** Tables without an organization. */
const ofThePlatform: Record<string, string> = {
  "control.cron_runs": "ticks",
  "control.installation": "what is random",
  "control.leaders": "nodes",
  "control.shard_map": "places",
  "control.sign_in_failures": "hashes, for a day at most",
  "control.signing_keys": "keys",
  migrations: "names of migrations",
  node_leases: "nodes",
  platform_tasks: "names of tasks",
  worker_leases: "nodes",
};

let url: string;
beforeAll(async () => {
  url = await createDatabase();
  const database = await Database.open([url], { logicalShards: 16, poolSize: 2, onError: () => undefined });
  await database.close();
});
afterAll(() => dropDatabase(url));

test("every table is declared as personal data by a contract, or known to hold nothing of a person", async () => {
  const tables = await inspect<{ name: string }>(
    url,
    `SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE n.nspname IN ('public', 'control') AND c.relkind IN ('r', 'p') AND NOT c.relispartition`,
  );
  const known = [...declared, ...Object.keys(withoutPersons), ...Object.keys(ofThePlatform)];
  expect(tables.map(({ name }) => name).sort()).toEqual(known.toSorted());
});

test("no table is declared twice: each has one service that answers for it", () => {
  expect(declared.toSorted()).toEqual([...new Set(declared)].sort());
});

test("a table called free of persons has no column that is named like one", async () => {
  const columns = await inspect<{ name: string }>(
    url,
    `SELECT a.attrelid::regclass::text || '.' || a.attname AS name FROM pg_attribute a
     WHERE a.attrelid = ANY ($1::text[]::regclass[]) AND NOT a.attisdropped AND a.atttypid <> 'boolean'::regtype
       AND a.attname ~ '(email|phone|first_name|last_name|^ip$|user_agent|recipient|note)'`,
    [Object.keys(withoutPersons)],
  );
  expect(columns).toEqual([]);
});
