import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { kinds } from "../../entities/kinds.ts";
import { knownPermissions } from "../../mixins/access/permissions.ts";
import { builtInRoles, recordPermissions } from "../../mixins/access/principal.ts";
import type { ActionSpec, Contract } from "../../mixins/contract/contract.ts";
import { readPermissions } from "../../mixins/events/feed-filter.ts";
import { personalFields } from "../../mixins/records/capabilities.ts";
import { declareKinds, tellsOfPersons } from "../../mixins/records/kind/kinds.ts";
import { contracts } from "../../services/contracts.ts";

/** What events tell of that are about the record where it stands: who sees that one sees them. */
const ofRecords = ["comment"];
const all: readonly Contract[] = contracts;
/** What events tell of that only admins and managers see. */
const ofOverseers = ["custom_field", "organization", "person", "privacy", "retention"];

test("of every event it is known who may see it: who reads its kind of record, who has a permission, or overseers alone", () => {
  const told = new Set(
    all.flatMap(({ events }) => Object.keys(events).map((type) => type.split(".")[0] ?? "")),
  );
  const known = new Set([...kinds.keys(), ...readPermissions.keys(), ...ofOverseers, ...ofRecords]);
  expect([...told].filter((entity) => !known.has(entity))).toEqual([]);
});

test("what docs/records.md tells to write for a new kind is made of what there is", async () => {
  const docs = readFileSync("docs/records.md", "utf8");
  const code = [...docs.matchAll(/```ts\n(.*?)```/gs)].map(([, text]) => text).join("\n");
  const modules = new Map<string, object>();
  for (const [, names = "", path = ""] of code.matchAll(/import (.*?) from "(?:\.\.\/)+(mixins\/.*?)";/g)) {
    const found = (await import(`../../${path}`)) as object;
    modules.set(names, found);
    for (const name of names.startsWith("{") ? names.replace(/[{}]|type \w+,?/g, "").split(",") : [])
      if (name.trim() !== "") expect(found).toHaveProperty(name.trim());
  }
  for (const [, space = "", name = ""] of code.matchAll(/\b(f|can)\.(\w+)\(/g))
    expect(modules.get(`* as ${space}`)).toHaveProperty(name);
  expect(modules.size).toBeGreaterThan(6);
});

test("two kinds of one name or one table are refused", () => {
  const [lead] = kinds.values();
  expect(() => declareKinds(lead ? [{ ...lead, name: "prospect" }] : [])).toThrow(
    "are called prospect or leads",
  );
});

describe.each([...kinds.values()].map((kind) => [kind.name, kind] as const))("the kind %s", (_name, kind) => {
  const contract = all.find(({ name }) => name === kind.plural);

  test("has a service of its plural, which owns its table and tells of its records", () => {
    expect(contract?.tables.owns).toContain(kind.table);
    expect(Object.keys(contract?.actions ?? {})).toEqual(
      expect.arrayContaining(["create", "list", "get", "update"]),
    );
    expect(contract?.events).toHaveProperty([`${kind.name}.created`]);
  });

  test("asks for permissions that built-in roles have, and others can be given", () => {
    const asked = Object.values<ActionSpec>(contract?.actions ?? {}).map(({ permission }) => permission);
    const ofRecords = asked.filter((permission) => permission.startsWith(`${kind.plural}:`));
    const known = knownPermissions(all);
    for (const permission of [...ofRecords, `${kind.plural}:sensitive`]) {
      expect(builtInRoles.get("admin")?.permissions).toContain(permission);
      expect(known).toContain(permission);
    }
    const ofViewers = [...(builtInRoles.get("viewer")?.permissions ?? [])];
    const ofKind = new Set(recordPermissions(kind.plural));
    expect(ofViewers.filter((permission) => ofKind.has(permission))).toEqual([`${kind.plural}:read`]);
  });

  test("has all that it says of persons declared as personal data", () => {
    if (!tellsOfPersons(kind)) return;
    const declared = Object.values(contract?.personalData ?? {}).filter(({ tables }) =>
      tables.includes(kind.table),
    );
    expect(declared.flatMap(({ fields = [] }) => fields)).toEqual(
      expect.arrayContaining(personalFields(kind)),
    );
  });
});
