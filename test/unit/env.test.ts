import { readFileSync } from "node:fs";
import { describe, expect, test } from "@jest/globals";
import { misspelt } from "../../mixins/process/env-file.ts";
import { envExample, hideSecrets, readEnv, variables } from "../../mixins/process/env.ts";

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
  [{ GOOGLE_CLIENT_ID: "id" }, "GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET must be set together"],
  [{ OIDC_PROVIDERS: "[{}]" }, "OIDC_PROVIDERS=(hidden).0.key"],
])("%j is refused in a line that names the variable", (settings, words) => {
  expect(() => readEnv(settings)).toThrow(words);
});

test.each(["MASTER_KEY", "OIDC_PROVIDERS"])("a bad %s is refused without being shown", (name) => {
  const read = () => readEnv({ [name]: "s3cret" });
  expect(read).toThrow(`${name}=(hidden)`);
  expect(read).not.toThrow("s3cret");
});

test("a bad address is refused without who signs in with it", () => {
  const read = () => readEnv({ DATABASE_URL: "mysql://owner:s3cret@h/d?password=s3cret" });
  expect(read).toThrow("DATABASE_URL=mysql://(hidden)@h/d?password=(hidden): must be a URL");
});

test("what is secret is taken out of an environment that was read, and what is not stays", () => {
  const given = {
    ...{
      MASTER_KEY: "s3cret",
      GOOGLE_CLIENT_SECRET: "s3cret",
      OIDC_PROVIDERS: '[{"clientSecret":"s3cret"}]',
    },
    ...{ DATABASE_APP_URLS: "postgres://a:s3cret@h/d", DATABASE_URL: "postgres://o:s3cret@h/d" },
    ...{ REDIS_URL: "redis://:s3cret@h1,redis://:s3cret@h2", NATS_URL: "nats://s3cret@h:4222" },
    ...{ SMTP_URL: "smtps://me%40x.example:s3cret@h", PUBLIC_URL: "https://crm.example", PORT: "3000" },
    ...{ MAIL_FROM: "Sangam <no-reply@example.com>", PATH: "/bin" },
  };
  const environment: Record<string, string | undefined> = { ...given };
  hideSecrets(environment);
  expect(JSON.stringify(environment)).not.toContain("s3cret");
  const { PUBLIC_URL, PORT, MAIL_FROM, PATH } = given;
  expect(environment).toMatchObject({ PUBLIC_URL, PORT, MAIL_FROM, PATH });
  expect(environment.REDIS_URL).toBe("redis://(hidden)@h1,redis://(hidden)@h2");
  expect(environment.SMTP_URL).toBe("smtps://(hidden)@h");
});

test.each([
  ["PROT", "PORT"],
  ["port", "PORT"],
  ["NATS_ULR", "NATS_URL"],
  ["DATABASE_SHARD", "DATABASE_SHARDS"],
  ["MASTERKEY", "MASTER_KEY"],
  ["RATE_LIMITS_PER_MINUTE", "RATE_LIMIT_PER_MINUTE"],
])("%s in .env is told to mean nothing, and that %s does", (name, meant) => {
  expect(misspelt([name])).toEqual([
    `.env: ${name} is no setting and changes nothing. Did you mean ${meant}?`,
  ]);
});

test("names in .env that are ours, or like none of ours, are told nothing of", () => {
  expect(misspelt([...Object.keys(variables), "NODE_ENV", "PGPASSWORD", "COMPOSE_PROJECT_NAME"])).toEqual([]);
});

test("an empty variable counts as unset", () => {
  expect(readEnv({ PORT: "", NATS_URL: "" })).toMatchObject({ PORT: 3000, NATS_URL: undefined });
});

test("an organization may do thirty times what a user may, unless it is said", () => {
  const limits = (settings: Record<string, string>) => readEnv(settings).RATE_LIMIT_PER_MINUTE_ORGANIZATION;
  expect(limits({})).toBe(3_000);
  expect(limits({ RATE_LIMIT_PER_MINUTE: "10" })).toBe(300);
  expect(limits({ RATE_LIMIT_PER_MINUTE_ORGANIZATION: "7" })).toBe(7);
});

test.each([
  [{}, true],
  [{ PUBLIC_URL: "http://127.0.0.1:8080", API_URL: "http://[::1]:3000" }, true],
  [{ PUBLIC_URL: "https://crm.example.com" }, false],
  [{ PUBLIC_URL: "http://localhost.example.com" }, false],
  [{ API_URL: "https://api.example.com" }, false],
  [{ HOST: "0.0.0.0" }, false],
  [{ PUBLIC_URL: "https://crm.example.com", DEV_OUTBOX: "true" }, true],
  [{ DEV_OUTBOX: "false" }, false],
  [{ DATABASE_URL: "postgres://u:p@localhost/d", MASTER_KEY: masterKey, HOST: "127.0.0.1" }, false],
])("with %j the outbox of mails is open: %j", (settings, isOpen) => {
  expect(readEnv(settings).DEV_OUTBOX).toBe(isOpen);
});

test(".env.example is what env.ts prints", () => {
  expect(readFileSync(".env.example", "utf8")).toBe(envExample());
});

describe("DATABASE_APP_URLS", () => {
  const app = "postgres://app@one/a,postgres://app@two/b";
  const key = Buffer.alloc(32, 1).toString("base64");

  test("names every database, in the order of the owner's addresses", () => {
    const owner = {
      DATABASE_URL: "postgres://o@one/a",
      DATABASE_SHARDS: "postgres://o@two/b",
      MASTER_KEY: key,
    };
    expect(readEnv({ ...owner, DATABASE_APP_URLS: app }).DATABASE_APP_URLS).toHaveLength(2);
    expect(() => readEnv({ ...owner, DATABASE_APP_URLS: "postgres://app@one/a" })).toThrow(
      "DATABASE_APP_URLS must list as many addresses as DATABASE_URL and DATABASE_SHARDS together",
    );
  });

  test("is enough for a process that only checks the schema, and for no other", () => {
    expect(readEnv({ DATABASE_APP_URLS: app, MIGRATE: "manual", MASTER_KEY: key })).toMatchObject({
      DATABASE_URL: "postgres://app@one/a",
      DATABASE_SHARDS: ["postgres://app@two/b"],
      SEED_DEMO: false,
    });
    expect(() => readEnv({ DATABASE_APP_URLS: app, MASTER_KEY: key })).toThrow(
      "DATABASE_URL must be set beside DATABASE_APP_URLS, or MIGRATE=manual",
    );
  });
});
