import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { servicesByRole } from "../../services/roles.ts";

/** What has deployments of its own, or is asked for by a setting. */
const elsewhere = ["worker", "cron", "mirror"];

test.each([
  ["docker-compose.yml", /SERVICES: (identity,\S+)/],
  ["k8s/core.yaml", /value: (identity,\S+)/],
])("the cores of %s host every service of their role but those that stand alone", (file, pattern) => {
  const text = readFileSync(new URL(`../../${file}`, import.meta.url), "utf8");
  const listed = pattern.exec(text)?.[1]?.split(",");
  expect(listed).toEqual(servicesByRole.core?.filter((name) => !elsewhere.includes(name)));
});
