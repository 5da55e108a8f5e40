import { describe, expect, test } from "@jest/globals";
import { globSync, readFileSync } from "node:fs";
import type { ActionSpec, Tables } from "../../mixins/contract/contract.ts";
import { contracts } from "../../services/contracts.ts";

/** Services that no contract describes. */
const withoutContract: Record<string, Required<Pick<Tables, "owns" | "reads">>> = {
  cron: { owns: ["control.cron_runs"], reads: [] },
  gateway: { owns: ["control.api_usage", "control.deprecated_calls"], reads: ["event_heads"] },
};
const tablesOf = new Map<string, Tables>([
  ...contracts.map(({ name, tables }): [string, Tables] => [name, tables]),
  ...Object.entries(withoutContract),
]);

const known = new Set(
  globSync("entities/migrations/**/*.sql").flatMap((file) =>
    [
      ...readFileSync(file, "utf8").matchAll(
        /(?:create table (?:if not exists )?|alter table [a-z_]+ rename to )([a-z_.]+)/gi,
      ),
    ].map(([, table]) => table as string),
  ),
);

/** Tables that the statements of a service's files read, and those that they write. */
function statementsOf(service: string) {
  const reads = new Set<string>();
  const writes = new Set<string>();
  for (const file of globSync(`services/${service}/**/*.ts`))
    for (const [, verb, table] of readFileSync(file, "utf8").matchAll(
      /\b(INSERT INTO|UPDATE|DELETE FROM|FROM|JOIN)\s+((?:control\.)?[a-z_]+)/g,
    ))
      if (known.has(table as string))
        (verb === "FROM" || verb === "JOIN" ? reads : writes).add(table as string);
  return { reads, writes };
}

test("every table has one owner at most", () => {
  const owned = [...tablesOf.values()].flatMap(({ owns = [] }) => owns);
  expect(owned.filter((table, at) => owned.indexOf(table) !== at)).toEqual([]);
  expect(owned.filter((table) => !known.has(table))).toEqual([]);
});

describe.each(globSync("services/*/").map((path) => path.split("/")[1] as string))(
  "the service %s",
  (service) => {
    const { owns = [], reads = [], writes = [] } = tablesOf.get(service) ?? {};
    const found = statementsOf(service);

    test("writes only tables that it owns, or says that it writes", () => {
      expect([...found.writes].filter((table) => ![...owns, ...writes].includes(table))).toEqual([]);
      expect(writes.filter((table) => !found.writes.has(table))).toEqual([]);
    });

    test("reads only tables that it owns, or says that it reads", () => {
      const named = new Set([...owns, ...reads, ...writes]);
      expect([...found.reads].filter((table) => !named.has(table))).toEqual([]);
      expect(reads.filter((table) => !found.reads.has(table))).toEqual([]);
    });
  },
);

const specs = contracts.flatMap(({ name, actions }) =>
  Object.entries<ActionSpec>(actions).map(([action, spec]): [string, ActionSpec] => [
    `${name}.${action}`,
    spec,
  ]),
);
const asked = new Set(["POST /reports/preview"]);
test.each(specs)("%s says whether it reads", (_name, { rest, transfer, reads }) => {
  if (rest === undefined) return;
  const isGet = rest.startsWith("GET ");
  // a question that fits no address is a POST
  if (isGet || !asked.has(rest)) expect(reads ?? false).toBe(isGet && transfer !== "browser");
});
