import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { kinds } from "../../entities/kinds.ts";
import { contracts } from "../../services/contracts.ts";
import { chooseServices, servicesByRole } from "../../services/roles.ts";

/** What has deployments of its own, or is asked for by a setting. */
const elsewhere = ["worker", "cron", "mirror"];

test.each([
  ["docker-compose.yml", /SERVICES: (core\S+)/],
  ["k8s/core.yaml", /value: (core\S+)/],
])("the cores of %s host every service of their role but those that stand alone", (file, pattern) => {
  const text = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
  const listed = pattern.exec(text)?.[1]?.split(",");
  expect(chooseServices(listed)).toEqual(servicesByRole.core?.filter((name) => !elsewhere.includes(name)));
});

test("every service with a contract works in the background, and gateways host the kinds of records themselves", () => {
  expect(servicesByRole.worker).toEqual(expect.arrayContaining(contracts.map(({ name }) => name)));
  expect(servicesByRole.gateway).toEqual(
    expect.arrayContaining([...kinds.values()].map(({ plural }) => plural)),
  );
});

test("a service is taken away by its name alone, wherever that stands, and an unknown one is named", () => {
  expect(chooseServices(["-cron", "core"])).not.toContain("cron");
  // as a role, worker would be nearly all of them
  expect(chooseServices(["core", "-worker"])).toEqual(expect.arrayContaining(["jobs", "cron"]));
  expect(() => chooseServices(["core", "-nosuch"])).toThrow('SERVICES names "-nosuch"');
});
