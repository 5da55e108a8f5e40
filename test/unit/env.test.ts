import { readFileSync } from "node:fs";
import { expect, test } from "@jest/globals";
import { envExample, readEnv } from "../../mixins/env.ts";

const masterKey = Buffer.alloc(32).toString("base64");

test("nothing set means embedded: loopback, a demo, no cluster", () => {
  expect(readEnv({})).toMatchObject({
    HOST: "127.0.0.1",
    PORT: 3000,
    SEED_DEMO: true,
    DATABASE_URL: undefined,
  });
});

test("with a database the process listens everywhere and makes no demo", () => {
  expect(readEnv({ DATABASE_URL: "postgres://u:p@h/d", MASTER_KEY: masterKey })).toMatchObject({
    HOST: "0.0.0.0",
    SEED_DEMO: false,
  });
});

test.each([
  [{ PORT: "eighty" }, "PORT=eighty"],
  [{ PORT: "65536" }, "PORT=65536"],
  [{ DATABASE_URL: "mysql://h/d" }, "DATABASE_URL=mysql://h/d: must be a URL starting with postgres://"],
  [{ DATABASE_URL: "postgres://h/d" }, "MASTER_KEY must be set"],
  [{ MASTER_KEY: "short" }, "must be 32 bytes in base64"],
  [{ LOGICAL_SHARDS: "257" }, "LOGICAL_SHARDS=257"],
  [{ REGISTRATION: "maybe" }, "REGISTRATION=maybe"],
])("%j is refused in a line that names the variable", (settings, words) => {
  expect(() => readEnv(settings)).toThrow(words);
});

test("an empty variable counts as unset", () => {
  expect(readEnv({ PORT: "", NATS_URL: "" })).toMatchObject({ PORT: 3000, NATS_URL: undefined });
});

test(".env.example is what env.ts prints", () => {
  expect(readFileSync(".env.example", "utf8")).toBe(envExample());
});
