import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import v8 from "node:v8";
import { runInNewContext } from "node:vm";
import pg from "pg";
import { lead } from "../../entities/lead.ts";
import { startEmbeddedPostgres } from "../../mixins/database/embedded-postgres.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { freePort } from "../../mixins/process/ports.ts";
import { readEnv } from "../../mixins/process/env.ts";
import type { ImportView } from "../../services/imports/imports.contract.ts";
import { startNode } from "../../services/node.ts";
import { generatedFile } from "./generated-file.ts";
import { Organization } from "./organization.ts";
import { makeEnterprises } from "./stage.ts";

const usage = `npm run bench:large-import -- [options]: a large file over HTTP, its rollback, and the same rows by a bare batched insert
  --rows <n>   rows of the generated file (default 1000000)`;
const { values: flags } = parseArgs({
  options: { rows: { type: "string", default: "1000000" }, help: { type: "boolean", default: false } },
});
if (flags.help) {
  console.log(usage);
  process.exit(0);
}
const rows = Number(flags.rows);
/** As many as an import takes into a transaction. */
const batchRows = 500;
const aims = { ratio: 0.35, growthMiB: 100 };

const residentMiB = (): number => process.memoryUsage.rss() / 1024 / 1024;
v8.setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;
/** What is really in use: how far garbage piles up before V8 looks for it says its heap limit. */
function liveMiB(): number {
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 1024 / 1024;
}
/** CPU of this process, whose services write the rows and whose client sends them, in µs a row. */
const cpuOf = (since: NodeJS.CpuUsage, count: number): number => {
  const { user, system } = process.cpuUsage(since);
  return (user + system) / count;
};

/** Sends the file as it is made, so that no one holds it whole. */
async function upload(origin: string, token: string): Promise<string> {
  const boundary = "----large-import";
  const body = function* () {
    yield `--${boundary}\r\nContent-Disposition: form-data; name="file"; filename="large.csv"\r\nContent-Type: text/csv\r\n\r\n`;
    yield* generatedFile(rows);
    yield `\r\n--${boundary}--\r\n`;
  };
  const response = await fetch(`${origin}/api/v1/leads/import`, {
    method: "POST",
    headers: {
      authorization: `Bearer ${token}`,
      "content-type": `multipart/form-data; boundary=${boundary}`,
    },
    body: ReadableStream.from(body()).pipeThrough(new TextEncoderStream()),
    duplex: "half",
  });
  if (response.status !== 202) throw new Error(`${response.status}: ${await response.text()}`);
  return ((await response.json()) as { id: string }).id;
}

/** Looks at the import until it has one of these states, and calls `seen` each time. */
async function follow(
  ask: () => Promise<ImportView>,
  ends: string[],
  seen: (view: ImportView) => void,
): Promise<ImportView> {
  for (;;) {
    const view = await ask();
    seen(view);
    if (view.status === "failed") throw new Error(`The import failed: ${view.failure}`);
    if (ends.includes(view.status)) return view;
    await sleep(250);
  }
}

/** The rows as they were stored, into a table with the same columns and indexes that nothing guards. Answers rows a second. */
async function insertBare(client: pg.Client, organizationId: string): Promise<number> {
  const columns = lead.columns.join(", ");
  await client.query("CREATE TABLE bare_leads (LIKE leads INCLUDING ALL)");
  await client.query("SET synchronous_commit = off"); // as the batches of an import
  let after = "00000000-0000-0000-0000-000000000000";
  let [count, spentMs] = [0, 0];
  for (;;) {
    const { rows: some } = await client.query<{ id: string }>(
      `SELECT ${columns} FROM leads WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT ${batchRows}`,
      [organizationId, after],
    );
    const last = some.at(-1);
    if (last === undefined) return count / (spentMs / 1000);
    after = last.id;
    const start = performance.now();
    await client.query({
      name: "bare_insert",
      text: `INSERT INTO bare_leads (${columns}) SELECT ${columns} FROM json_populate_recordset(NULL::leads, $1)`,
      values: [JSON.stringify(some)],
    });
    spentMs += performance.now() - start;
    count += some.length;
  }
}

const folder = mkdtempSync(join(tmpdir(), "sangam-bench-"));
chmodSync(folder, 0o755); // PostgreSQL runs as a user of its own when this runs as root
const server = await startEmbeddedPostgres(folder, () => undefined);
try {
  await server.createDatabase("import");
  const url = server.url("import");
  await migrate(url, { control: true });
  const port = await freePort();
  const node = await startNode(
    readEnv({
      ...{ DATA_DIR: folder, DATABASE_URL: url, MASTER_KEY: Buffer.alloc(32, 7).toString("base64") },
      ...{ PORT: String(port), METRICS_PORT: "0", LOG_LEVEL: "error", SEED_DEMO: "false" },
      SERVICES: "gateway,identity,leads,imports,service:worker",
    }),
  );
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const origin = `http://127.0.0.1:${port}`;
    const organization = await Organization.register(origin);
    await makeEnterprises(url);
    const started = residentMiB();
    let start = performance.now();
    const id = await upload(origin, await organization.accessToken());
    console.log(`${rows} rows uploaded in ${((performance.now() - start) / 1000).toFixed(1)} s`);
    const ask = async (): Promise<ImportView> => {
      const headers = { authorization: `Bearer ${await organization.accessToken()}` };
      return (await (await fetch(`${origin}/api/v1/imports/${id}`, { headers })).json()) as ImportView;
    };

    start = performance.now();
    const marks = [0.1, 0.5, 1];
    const resident: number[] = [];
    const live: number[] = [];
    const before = process.cpuUsage();
    let most = 0;
    const imported = await follow(ask, ["completed"], ({ processed }) => {
      most = Math.max(most, residentMiB());
      while (resident.length < marks.length && processed >= rows * (marks[resident.length] ?? 1)) {
        resident.push(residentMiB());
        live.push(liveMiB());
      }
    });
    const rate = imported.processed / ((performance.now() - start) / 1000);
    console.log(
      `import    ${imported.created} created, ${imported.failed} rejected: ${rate.toFixed(0)} rows/s, ${cpuOf(before, rows).toFixed(0)} µs of Node a row`,
    );
    console.log(
      `resident  ${started.toFixed(0)} MiB before; ${resident.map((one) => one.toFixed(0)).join(", ")} MiB at ${marks.map((one) => `${one * 100} %`).join(", ")}; ${most.toFixed(0)} MiB at most`,
    );
    const [growth, held] = [resident, live].map((all) => (all.at(-1) ?? NaN) - (all[0] ?? NaN)) as [
      number,
      number,
    ];
    console.log(
      `in use    ${live.map((one) => one.toFixed(0)).join(", ")} MiB there: ${held.toFixed(0)} more`,
    );
    console.log(
      `growth    ${growth.toFixed(0)} MiB resident from 10 % to the end (below ${aims.growthMiB}: ${growth < aims.growthMiB ? "met" : "NOT MET"})`,
    );

    const bare = await insertBare(client, organization.id);
    console.log(
      `bare      ${bare.toFixed(0)} rows/s; ratio ${(rate / bare).toFixed(2)} (at least ${aims.ratio}: ${rate / bare >= aims.ratio ? "met" : "NOT MET"})`,
    );

    start = performance.now();
    const headers = { authorization: `Bearer ${await organization.accessToken()}` };
    const answer = await fetch(`${origin}/api/v1/imports/${id}/rollback`, { method: "POST", headers });
    if (answer.status !== 202) throw new Error(`${answer.status}: ${await answer.text()}`);
    let mostOfRollback = 0;
    await follow(ask, ["rolled_back"], () => (mostOfRollback = Math.max(mostOfRollback, residentMiB())));
    console.log(
      `rollback  ${(rows / ((performance.now() - start) / 1000)).toFixed(0)} rows/s, ${mostOfRollback.toFixed(0)} MiB at most`,
    );
  } finally {
    await client.end();
    await node.stop();
  }
} finally {
  await server.stop();
  rmSync(folder, { recursive: true, force: true });
}
