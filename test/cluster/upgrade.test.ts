import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { readMigrations } from "../../mixins/database/migrations/files.ts";
import { catalogueOf } from "../support/catalogue.ts";
import { Client } from "../support/client.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { startNats, type NatsServer } from "../support/nats.ts";
import { eventually } from "../support/eventually.ts";
import { startProcess, type NodeProcess } from "../support/process.ts";
import { hasRelease010, Release010 } from "../support/release-0.1.0/checkout.ts";
import { makeScratch } from "../support/scratch.ts";

const withHistory = hasRelease010() ? test : test.skip;
if (withHistory === test.skip)
  console.warn(
    "SKIPPED: the upgrade from 0.1.0 is not tested, for this repository's history does not reach back to commit ac0f496. "
      + "Fetch all of it: git fetch --unshallow",
  );

let release010: Release010 | undefined;
let folder: string;
let nats: NatsServer;
beforeAll(async () => {
  if (withHistory === test.skip) return;
  release010 = new Release010();
  folder = makeScratch("sangam-upgrade-");
  nats = await startNats();
});
afterAll(async () => {
  if (!release010) return;
  release010.end();
  rmSync(folder, { recursive: true });
  await nats.stop();
});

interface Lead {
  id: string;
  version: number;
  lastName: string;
  customFields: Record<string, unknown>;
}
const demo = { email: "admin@demo.sangam.example", password: "sangam-demo-2026" };

async function signIn(origin: string): Promise<Client> {
  const answer = await new Client(origin).post("/auth/login", demo);
  expect(answer.status).toBe(200);
  return new Client(origin, answer.body as never);
}
async function ok<T>(answer: Promise<{ status: number; body: unknown }>, status = 200): Promise<T> {
  const { status: got, body } = await answer;
  expect({ status: got, body }).toMatchObject({ status });
  return body as T;
}
const leadsOf = (client: Client) =>
  ok<{ data: Lead[] }>(client.get("/leads?limit=200&sort=-createdAt")).then(({ data }) => data);

/** Where the PostgreSQL of a data folder listens, as its owner. */
function embeddedUrl(dataFolder: string): string {
  const password = readFileSync(join(dataFolder, "postgres.password"), "utf8").trim();
  const port = readFileSync(join(dataFolder, "postgres/postmaster.pid"), "utf8").split("\n")[3];
  return `postgres://sangam_owner:${password}@127.0.0.1:${port}/sangam`;
}

withHistory(
  "a data folder of 0.1.0 opens with this release: all is there, works, and equals a fresh schema",
  async () => {
    const dataFolder = join(folder, "data");
    const settings = { DATA_DIR: dataFolder, DATABASE_URL: "", MASTER_KEY: "", SEED_DEMO: "true" };
    const old = await release010?.start("of-0.1.0", settings);
    if (!old) throw new Error("no release 0.1.0");
    let before: Client;
    let lead: Lead;
    let key: string;
    let rows: { leads: number; events: number };
    const count = () =>
      inspect<{ leads: number; events: number }>(
        embeddedUrl(dataFolder),
        "SELECT (SELECT count(*)::int FROM leads) AS leads, (SELECT count(*)::int FROM events) AS events",
      ).then(([counts]) => counts as { leads: number; events: number });
    try {
      before = await signIn(old.origin);
      await ok(
        before.post("/custom-fields", {
          entity: "lead",
          key: "taxId",
          type: "text",
          label: "Tax",
          isSensitive: true,
        }),
        201,
      );
      lead = await ok<Lead>(
        before.post("/leads", {
          lastName: "Kept",
          email: "kept@example.com",
          customFields: { taxId: "T-1" },
        }),
        201,
      );
      const keys = { name: "kept", scopes: ["leads:read"] };
      key = (await ok<{ key: string }>(before.post("/api-keys", keys), 201)).key;
      rows = await count();
    } finally {
      await old.stop();
    }

    const now = await startProcess("of-now", settings);
    const fresh = await createDatabase();
    try {
      // signed by a key that MASTER_KEY seals, verified by the code of today
      const kept = new Client(now.origin, {
        accessToken: before.token ?? "",
        refreshToken: "",
        user: { id: "" },
        organization: { id: "" },
      });
      const found = await ok<Lead>(kept.get(`/leads/${lead.id}`));
      expect(found).toMatchObject({
        lastName: "Kept",
        customFields: { taxId: "T-1" },
        version: lead.version,
      });
      expect(await count()).toMatchObject({ leads: rows.leads });
      await ok(kept.withApiKey(key).get("/leads?limit=1"));
      await ok(new Client(now.origin).post("/auth/refresh", { refreshToken: before.refreshToken }));

      const admin = await signIn(now.origin);
      const made = await ok<Lead>(admin.post("/leads", { lastName: "New", email: "new@example.com" }), 201);
      await ok(
        admin.send(
          "PATCH",
          `/leads/${lead.id}`,
          { lastName: "Changed" },
          { "if-match": `"${found.version}"` },
        ),
      );
      await ok(admin.post(`/leads/${made.id}/convert`, { createDeal: false }));
      // the sequencer and the workers are at work on what the old release left and on what is new
      await eventually(async () => {
        const [left] = await inspect<{ events: number; jobs: number }>(
          embeddedUrl(dataFolder),
          `SELECT (SELECT count(*)::int FROM events WHERE seq IS NULL) AS events,
           (SELECT count(*)::int FROM graphile_worker._private_jobs WHERE run_at <= now()) AS jobs`,
        );
        return left?.events === 0 && left.jobs === 0;
      }, 30_000);
      const [hole] = await inspect(
        embeddedUrl(dataFolder),
        `SELECT organization_id FROM events GROUP BY 1
       HAVING count(*) <> max(seq) OR count(DISTINCT seq) <> count(*) OR min(seq) <> 1`,
      );
      expect(hole).toBeUndefined();
      expect(await catalogueOf(embeddedUrl(dataFolder))).toEqual(await catalogueOf(fresh));
    } finally {
      await now.stop();
      await dropDatabase(fresh);
    }
  },
  180_000,
);

const breaking = [...readMigrations("control"), ...readMigrations("shard")].filter(
  ({ isBreaking }) => isBreaking,
);
withHistory(
  "0.1.0 and this release work side by side, unless a migration is breaking: then this one does not start beside it",
  async () => {
    const url = await createDatabase("template1");
    const settings = { DATABASE_URL: url, NATS_URL: nats.url, NAMESPACE: "upgrade", SEED_DEMO: "true" };
    const old = await release010?.start("of-0.1.0", settings);
    if (!old) throw new Error("no release 0.1.0");
    let now: NodeProcess | undefined;
    try {
      const there = await signIn(old.origin);
      // statements that this release's migrations may outdate are prepared in the old one
      const write = async (client: Client, lastName: string) => {
        const lead = await ok<Lead>(client.post("/leads", { lastName }), 201);
        await ok(client.send("PATCH", `/leads/${lead.id}`, { title: "Changed" }));
        await ok(client.get(`/leads/${lead.id}`));
        return lead.id;
      };
      await write(there, "Before");
      await leadsOf(there);
      const starting = startProcess("of-now", { ...settings, SEED_DEMO: "false" });
      if (breaking.length > 0) {
        await expect(starting).rejects.toThrow(
          `${breaking[0]?.path} is breaking, and nodes of an older release run`,
        );
        await write(there, "After");
        return;
      }
      now = await starting;
      const here = await signIn(now.origin);
      const ids: string[] = [];
      for (const turn of [1, 2, 3])
        ids.push(await write(there, `Old ${turn}`), await write(here, `New ${turn}`));
      for (const client of [there, here])
        expect((await leadsOf(client)).map(({ id }) => id)).toEqual(expect.arrayContaining(ids));
      await eventually(
        async () => (await inspect(url, "SELECT FROM events WHERE seq IS NULL LIMIT 1")).length === 0,
      );

      // once it is upgraded, a start of the old release is refused before it changes anything
      const schema = await catalogueOf(url);
      await expect(release010?.start("late-of-0.1.0", settings)).rejects.toThrow(
        /did not start.*already exists/,
      );
      expect(await catalogueOf(url)).toEqual(schema);
      await write(there, "Still there");
    } finally {
      await now?.stop();
      await old.stop();
      await dropDatabase(url);
    }
  },
  180_000,
);
