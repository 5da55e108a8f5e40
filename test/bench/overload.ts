import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { startEmbeddedPostgres } from "../../mixins/database/embedded-postgres.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { Organization } from "./organization.ts";
import { freePort } from "../../mixins/process/ports.ts";
import { residentMiB, start, stopAll, untilReady } from "./processes.ts";

const usage = `node test/bench/overload.ts [options]: one process under more load than it can take, with and without load shedding
  --connections <n>  clients that send as fast as they are answered, and ask again at once when refused (default 1000)
  --seconds <n>      length of a round (default 8)
  --limits <list>    values of MAX_IN_FLIGHT to try (default 50,100,200,400 and none)`;
const { values: flags } = parseArgs({
  options: {
    connections: { type: "string", default: "1000" },
    seconds: { type: "string", default: "8" },
    limits: { type: "string", default: "50,100,200,400,100000" },
    help: { type: "boolean", default: false },
  },
});
const seconds = Number(flags.seconds);
/** An answer that comes later is of no use to whoever asked. */
const usefulMs = 1000;

interface Run {
  on(event: "response", listener: (client: object, status: number, bytes: number, ms: number) => void): void;
}
// autocannon ships no types
const autocannon = createRequire(import.meta.url)("autocannon") as (
  options: object,
  done: (error: Error | null) => void,
) => Run;

interface Outcome {
  /** 2xx answers a second that came in time. */
  useful: number;
  /** 503 answers a second. */
  refused: number;
  /** 99th percentile of the 2xx, ms. */
  p99: number;
}

function load(url: string, headers: Record<string, string>, connections: number): Promise<Outcome> {
  return new Promise((done, fail) => {
    const accepted: number[] = [];
    let refused = 0;
    const options = { url, headers, connections, duration: seconds, timeout: 60 };
    autocannon(options, (error) => {
      if (error) return fail(error);
      accepted.sort((a, b) => a - b);
      done({
        useful: accepted.filter((ms) => ms <= usefulMs).length / seconds,
        refused: refused / seconds,
        p99: accepted[Math.ceil(accepted.length * 0.99) - 1] ?? NaN,
      });
    }).on("response", (_client, status, _bytes, ms) => {
      if (status === 200) accepted.push(ms);
      else if (status === 503) refused++;
    });
  });
}

async function run(folder: string): Promise<void> {
  const server = await startEmbeddedPostgres(folder, () => undefined);
  try {
    await server.createDatabase("bench");
    await migrate(server.url("bench"), { control: true });
    let organization: Organization | undefined;
    for (const limit of flags.limits.split(",")) {
      const [port, metricsPort] = [await freePort(), await freePort()];
      const origin = `http://127.0.0.1:${port}`;
      const child = start(
        "sangam",
        process.execPath,
        [resolve(import.meta.dirname, "../../services/start.ts")],
        {
          folder,
          env: {
            DATABASE_URL: server.url("bench"),
            HOST: "127.0.0.1",
            PORT: String(port),
            METRICS_PORT: String(metricsPort),
            MASTER_KEY: Buffer.alloc(32, 1).toString("base64"),
            RATE_LIMIT_PER_MINUTE: "100000000",
            DRAIN_SECONDS: "0",
            MAX_IN_FLIGHT: limit,
          },
        },
      );
      await untilReady(child, `http://127.0.0.1:${metricsPort}/health/ready`, folder);
      if (organization) organization.moveTo(origin);
      else await (organization = await Organization.register(origin)).fill(5000);
      const headers = { authorization: `Bearer ${await organization.accessToken()}` };
      const url = `${origin}/api/v1/leads?limit=50`;
      await load(url, headers, 32); // warms up
      const capacity = await load(url, headers, 32);
      const before = residentMiB(child);
      let most = before;
      const watch = setInterval(() => (most = Math.max(most, residentMiB(child))), 200);
      const over = await load(url, headers, Number(flags.connections));
      clearInterval(watch);
      const after = await load(url, headers, 32);
      console.log(
        [
          `MAX_IN_FLIGHT ${limit.padStart(6)}`,
          `at 32 clients ${capacity.useful.toFixed(0)}/s, p99 ${capacity.p99.toFixed(0)} ms`,
          `overloaded: useful ${(over.useful / capacity.useful).toFixed(2)} of that, p99 of the accepted ${over.p99.toFixed(0)} ms`,
          `refused ${over.refused.toFixed(0)}/s`,
          `RSS ${before.toFixed(0)} to ${most.toFixed(0)} MiB`,
          `afterwards ${(after.useful / capacity.useful).toFixed(2)}`,
        ].join("; "),
      );
      await child.stop();
    }
  } finally {
    await stopAll();
    await server.stop();
  }
}

if (flags.help) {
  console.log(usage);
} else {
  const folder = mkdtempSync(join(tmpdir(), "sangam-overload-"));
  chmodSync(folder, 0o755); // PostgreSQL runs as a user of its own when this runs as root
  try {
    await run(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
