import { expect, test } from "@jest/globals";
import type pg from "pg";
import { requireServerVersion } from "../../mixins/database/server-version.ts";

// an old server is not at hand in every run; what a real PostgreSQL 15 is told was tried by hand
const answering = (number: string, name: string) =>
  ({ query: () => Promise.resolve({ rows: [{ number, name }] }) }) as unknown as pg.Client;

test.each([
  ["150018", "15.18 (Debian 15.18-0+deb12u1)"],
  ["090624", "9.6.24"],
])("a server %s is refused with what is needed", async (number, name) => {
  await expect(requireServerVersion(answering(number, name))).rejects.toThrow(
    `PostgreSQL 16 or newer is needed; this server is ${name}.`,
  );
});

test.each(["160000", "180004"])("a server %s is taken", async (number) => {
  await requireServerVersion(answering(number, "new"));
});
