import { rmSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Database } from "../../mixins/database/database.ts";
import { startEmbeddedPostgres, type EmbeddedServer } from "../../mixins/database/embedded-postgres.ts";
import { loginUrlOf } from "../../mixins/database/login.ts";
import { inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { startNode, testEnv } from "../support/node.ts";
import { makeScratch } from "../support/scratch.ts";

// A server as providers give it: whoever owns the database is no superuser. One of its own, for roles belong to a server.
let folder: string;
let server: EmbeddedServer;
beforeAll(async () => {
  folder = makeScratch("sangam-managed-");
  server = await startEmbeddedPostgres(folder, () => undefined);
  await inspect(server.url("postgres"), "CREATE ROLE crm_owner LOGIN CREATEROLE PASSWORD 'of-the-owner'");
  await inspect(server.url("postgres"), "CREATE DATABASE crm OWNER crm_owner");
}, 60_000);
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

const as = (user: string, password: string) => {
  const url = new URL(server.url("crm"));
  url.username = user;
  url.password = password;
  return url.href;
};
const options = { logicalShards: 16, poolSize: 2, onError: () => undefined };
const open = async (url: string, more: object = {}) => {
  await (await Database.open([url], { ...options, ...more })).close();
};

test("an owner who may make roles, and is no superuser, migrates and makes the login; a new password of theirs is its too", async () => {
  await open(as("crm_owner", "of-the-owner"));
  const [login] = await inspect(
    server.url("crm"),
    "SELECT rolsuper, rolbypassrls, rolinherit FROM pg_roles WHERE rolname = 'sangam_login'",
  );
  expect(login).toEqual({ rolsuper: false, rolbypassrls: false, rolinherit: false });

  await inspect(server.url("crm"), "ALTER ROLE crm_owner PASSWORD 'another'");
  await open(as("crm_owner", "another"));
  await expect(inspect(loginUrlOf(as("crm_owner", "of-the-owner")), "SELECT 1")).rejects.toThrow(
    "password authentication failed",
  );
  await open(as("crm_owner", "another"), { migrate: "manual" });
});

test("a login made by hand serves a node that knows no owner, workers too", async () => {
  await inspect(server.url("crm"), "CREATE ROLE crm_app LOGIN NOINHERIT PASSWORD 'by-hand'");
  const app = as("crm_app", "by-hand");
  await expect(open(app, { appUrls: [app], migrate: "manual" })).rejects.toThrow("permission denied");
  await inspect(
    server.url("crm"),
    "GRANT sangam_app, sangam_platform, sangam_worker TO crm_app WITH INHERIT FALSE, SET TRUE",
  );
  const settings = {
    DATABASE_URL: "",
    DATABASE_APP_URLS: app,
    MIGRATE: "manual",
    SERVICES: "identity,leads,events,worker,jobs",
  };
  const node = await startNode(testEnv([], settings));
  try {
    const { organization, user } = await node.broker.call<
      { organization: { id: string }; user: { id: string } },
      object
    >("identity.register", {
      organizationName: "Managed",
      name: "Admin",
      email: "admin@managed.example",
      password: "correct horse battery",
    });
    const meta = { organizationId: organization.id, userId: user.id, role: "admin" };
    await node.broker.call("leads.create", { lastName: "Kept" }, { meta });
    await eventually(async () => {
      const [left] = await inspect<{ events: number; jobs: number }>(
        server.url("crm"),
        `SELECT (SELECT count(*)::int FROM events WHERE seq IS NULL) AS events,
           (SELECT count(*)::int FROM graphile_worker._private_jobs WHERE run_at <= now()) AS jobs`,
      );
      return left?.events === 0 && left.jobs === 0;
    }, 20_000);
    const users = await inspect(
      server.url("crm"),
      "SELECT DISTINCT usename::text FROM pg_stat_activity WHERE datname = 'crm' AND pid <> pg_backend_pid()",
    );
    expect(users).toEqual([{ usename: "crm_app" }]);
  } finally {
    await node.stop();
  }
}, 60_000);

test("what runs as such an owner sees the rows it decides by: listeners behind keep their months, a move arrives", async () => {
  const organization = "01900000-0000-7000-8000-000000000009";
  const crm = server.url("crm");
  const asPlatform = (call: string) => inspect(as("crm_app", "by-hand"), `SET ROLE sangam_platform; ${call}`);
  const months = () => inspect(crm, "SELECT FROM pg_class WHERE relname = 'events_2001_02'");
  await inspect(as("crm_owner", "another"), "SELECT ensure_events_partition('2001-02-01')");
  await inspect(
    crm,
    `INSERT INTO events (organization_id, id, type, entity_kind, entity_id, entity_version, data, occurred_at, seq)
     VALUES ($1, $1, 'lead.created', 'lead', $1, 1, '{}', '2001-02-03', 1)`,
    [organization],
  );
  await inspect(crm, "INSERT INTO listener_cursors VALUES ($1, 'slow', 0, 1, true)", [organization]);
  await asPlatform("SELECT drop_events_before('2001-06-01')");
  expect(await months()).toHaveLength(1);
  await inspect(crm, "UPDATE listener_cursors SET seq = 1 WHERE listener = 'slow'");
  await asPlatform("SELECT drop_events_before('2001-06-01')");
  expect(await months()).toHaveLength(0);

  await inspect(crm, "INSERT INTO moves.gates VALUES ($1, 7, 'arriving', NULL, 0)", [organization]);
  await asPlatform(`SELECT moves.admit('${organization}', 7)`);
  expect(await inspect(crm, "SELECT FROM moves.gates")).toEqual([]);
});

test("an owner who may make no roles is told what to do", async () => {
  await inspect(server.url("crm"), "DROP ROLE IF EXISTS sangam_login");
  await inspect(server.url("crm"), "ALTER ROLE crm_owner NOCREATEROLE");
  await expect(open(as("crm_owner", "another"))).rejects.toThrow(
    /the role sangam_login, which processes work as, cannot be made: permission denied.* or make it by hand and set DATABASE_APP_URLS/,
  );
  const app = as("crm_app", "by-hand");
  await open(as("crm_owner", "another"), { appUrls: [app] });
});
