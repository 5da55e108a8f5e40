import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import pg from "pg";
import { startEmbeddedPostgres, type EmbeddedServer } from "../../mixins/database/embedded-postgres.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { Organization } from "./organization.ts";
import type { Load } from "./load.ts";
import { measure, type Round, type Target } from "./measure.ts";
import { freePort } from "../../mixins/process/ports.ts";
import {
  postgresOf,
  start,
  startSangam as startNode,
  stopAll,
  untilReady,
  type Child,
  type Measured,
} from "./processes.ts";
import {
  aims,
  isValid,
  latencyAims,
  median,
  printTable,
  printVerdicts,
  throughputOf,
  type Verdict,
} from "./report.ts";

const usage = `npm run bench -- [options]: Sangam against a bare node:http + pg server over the same table
  --rounds <n>     rounds of each target (default 5)
  --seconds <n>    length of a round (default 4)
  --quick          3 rounds of 2 s: a look, not a figure
  --only <part>    one (process) or cluster (gateway, NATS, core); default both
  --method <m>     GET or POST; default both
  --profile <dir>  write V8 CPU profiles of Sangam's processes there; they cost some speed`;

const { values: flags } = parseArgs({
  options: {
    rounds: { type: "string" },
    seconds: { type: "string" },
    quick: { type: "boolean", default: false },
    only: { type: "string" },
    method: { type: "string" },
    profile: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
const rounds = Number(flags.rounds ?? (flags.quick ? 3 : 5));
const seconds = Number(flags.seconds ?? (flags.quick ? 2 : 4));
/** Longer than V8 goes on compiling: Sangam's throughput rises by a third in this time, the bare server's by a fifth. */
const warmUpSeconds = flags.quick ? 5 : 15;
const connections = 32;
const manyConnections = 50;
const preloaded = 20_000;

/** What the parts of the benchmark share. */
interface Stage {
  folder: string;
  databaseUrl: string;
  owner: pg.Client;
  loader: Child;
  /** Processes that serve every target. */
  shared: Measured[];
}

const workloads = {
  GET: { path: "/api/v1/leads?limit=50" },
  POST: { path: "/api/v1/leads" },
};
type Method = keyof typeof workloads;
const methods = (["GET", "POST"] as const).filter((method) => method === (flags.method ?? method));

async function run(stage: Stage): Promise<void> {
  const verdicts: Verdict[] = [];
  const { rows } = await stage.owner.query<{ version: string; fsync: string }>(
    "SELECT current_setting('server_version') AS version, current_setting('fsync') AS fsync",
  );
  console.log(
    `Node ${process.version}, PostgreSQL ${rows[0]?.version} (fsync ${rows[0]?.fsync}), ${availableParallelism()} cores; `
      + `${rounds} rounds of ${seconds} s, bare and Sangam in turn, medians`,
  );

  const one = await startSangam(stage, "sangam", {});
  const organization = await Organization.register(one.origin);
  await organization.fill(preloaded);
  await stage.owner.query("VACUUM ANALYZE leads");
  const bare = await startBare(stage, organization.id);
  if (flags.only !== "cluster") {
    await compare(stage, "One process", [bare, one], organization, aims.one, verdicts);
    await compareLatency(stage, [bare, one], organization, verdicts);
  }
  await stopTarget(one);

  if (flags.only !== "one") {
    const cluster = await startCluster(stage);
    if (cluster) {
      organization.moveTo(cluster.origin);
      await compare(stage, "Gateway, NATS, core", [bare, cluster], organization, aims.cluster, verdicts);
      await stopTarget(cluster);
    } else {
      const aim = "throughput through NATS";
      verdicts.push({ aim, reached: "nats-server is not on the PATH", met: undefined });
    }
  }
  printVerdicts(verdicts);
}

/** Both workloads on both targets in turn, after a warm-up that does not count. */
async function compare(
  stage: Stage,
  title: string,
  targets: [bare: Target, sangam: Target],
  organization: Organization,
  atLeast: Record<Method, number>,
  verdicts: Verdict[],
): Promise<void> {
  await organization.assertSamePage(targets[0].origin);
  for (const method of methods) {
    const results = new Map<Target, Round[]>(targets.map((target) => [target, []]));
    for (let round = -1; round < rounds; round++)
      for (const target of targets) {
        const load = await loadOf(method, target, organization, connections);
        const measured = await measure(target, round < 0 ? { ...load, seconds: warmUpSeconds } : load, stage);
        if (round >= 0) results.get(target)?.push(measured);
      }
    printTable(`${title}: ${method} ${workloads[method].path}, ${connections} connections`, [...results]);
    const [bare, sangam] = targets.map((target) => results.get(target) as Round[]) as [Round[], Round[]];
    const ratio = throughputOf(sangam) / throughputOf(bare);
    verdicts.push({
      aim: `${title}, ${method} at least ${atLeast[method].toFixed(2)} of bare`,
      reached: ratio.toFixed(2),
      met: isValid(bare) && isValid(sangam) ? ratio >= atLeast[method] : undefined,
    });
  }
}

/** The latency of many connections; that of the bare server tells what the machine can do. */
async function compareLatency(
  stage: Stage,
  targets: [bare: Target, sangam: Target],
  organization: Organization,
  verdicts: Verdict[],
): Promise<void> {
  for (const method of methods) {
    const results = new Map<Target, Round[]>(targets.map((target) => [target, []]));
    for (let round = 0; round < Math.min(rounds, 3); round++)
      for (const target of targets) {
        const load = await loadOf(method, target, organization, manyConnections);
        results.get(target)?.push(await measure(target, load, stage));
      }
    printTable(`Latency: ${method} ${workloads[method].path}, ${manyConnections} connections`, [...results]);
    const [bare, sangam] = targets.map((target) => results.get(target) as Round[]) as [Round[], Round[]];
    const [bareP95, p95] = [p95Of(bare), p95Of(sangam)];
    verdicts.push({
      aim: `${method} p95 at ${manyConnections} connections below ${latencyAims[method]} ms`,
      reached: `${p95.toFixed(1)} ms, ${(p95 / bareP95).toFixed(2)} of bare`,
      met: isValid(sangam) ? p95 < latencyAims[method] : undefined,
    });
  }
}
const p95Of = (results: Round[]): number => median(results.map(({ p95 }) => p95));

async function loadOf(
  method: Method,
  target: Target,
  organization: Organization,
  clients: number,
): Promise<Load> {
  const headers = { authorization: `Bearer ${await organization.accessToken()}` };
  const url = target.origin + workloads[method].path;
  const common = { url, connections: clients, seconds };
  return method === "GET"
    ? { ...common, method, headers }
    : {
        ...common,
        method,
        headers: { ...headers, "content-type": "application/json", "idempotency-key": "[<id>]" },
        body: JSON.stringify(newLead),
      };
}
const newLead = {
  firstName: "Ananya",
  lastName: "Banerjee",
  email: "ananya.[<id>]@harbor-analytics.example",
  phone: "+919812345678",
  companyName: "Harbor Analytics",
  title: "Head of Sales",
  source: "Website",
  tags: ["newsletter"],
  customFields: { city: "Pune", visits: 4 },
  consent: { email: true },
};

async function startBare(stage: Stage, organizationId: string): Promise<Target> {
  const port = await freePort();
  const env = {
    BARE_PORT: String(port),
    BARE_DATABASE_URL: stage.databaseUrl,
    BARE_ORGANIZATION_ID: organizationId,
  };
  const child = start("bare", process.execPath, [join(import.meta.dirname, "bare-server.ts")], {
    folder: stage.folder,
    env,
  });
  const origin = `http://127.0.0.1:${port}`;
  await untilReady(child, `${origin}${workloads.GET.path}`, stage.folder);
  return { name: "bare", origin, processes: [child] };
}

/** A process of Sangam as in production; `settings` choose what it hosts. */
async function startSangam(
  stage: Stage,
  name: string,
  settings: Record<string, string>,
): Promise<SangamTarget> {
  const all = { DATABASE_URL: stage.databaseUrl, ...settings };
  const { origin, child } = await startNode(stage.folder, name, all, flags.profile);
  return { name, origin, processes: [child], children: [child] };
}
interface SangamTarget extends Target {
  children: Child[];
}

/** Gateway and core in two processes over a NATS server; undefined without one on the PATH. */
async function startCluster(stage: Stage): Promise<SangamTarget | undefined> {
  const port = await freePort();
  const nats = start("nats", "nats-server", ["-a", "127.0.0.1", "-p", String(port)], {
    folder: stage.folder,
  });
  const isFound = await new Promise<boolean>((done) => {
    nats.process.once("spawn", () => done(true));
    nats.process.once("error", () => done(false));
  });
  if (!isFound) return undefined;
  const settings = { NATS_URL: `nats://127.0.0.1:${port}` };
  const core = await startSangam(stage, "core", {
    ...settings,
    SERVICES: "leads,contacts,companies,records,events",
  });
  const gateway = await startSangam(stage, "gateway", { ...settings, SERVICES: "service:gateway,identity" });
  return {
    name: "gateway → core",
    origin: gateway.origin,
    processes: [...gateway.processes, ...core.processes, nats],
    children: [...gateway.children, ...core.children, nats],
  };
}

async function stopTarget({ children }: SangamTarget): Promise<void> {
  for (const child of children) await child.stop();
}

async function setUp(folder: string): Promise<{ stage: Stage; server: EmbeddedServer }> {
  chmodSync(folder, 0o755); // PostgreSQL runs as a user of its own when this runs as root
  const server = await startEmbeddedPostgres(folder, () => undefined);
  await server.createDatabase("bench");
  const databaseUrl = server.url("bench");
  await migrate(databaseUrl, { control: true });
  const owner = new pg.Client({ connectionString: databaseUrl });
  owner.on("error", () => undefined); // surfaces as the failure of the next query
  await owner.connect();
  const loader = start("load", process.execPath, [join(import.meta.dirname, "load.ts")], {
    folder,
    ipc: true,
  });
  return { stage: { folder, databaseUrl, owner, loader, shared: [postgresOf(folder)] }, server };
}

if (flags.help) {
  console.log(usage);
} else {
  if (flags.profile !== undefined) mkdirSync(flags.profile, { recursive: true });
  const folder = mkdtempSync(join(tmpdir(), "sangam-bench-"));
  let server: EmbeddedServer | undefined;
  let owner: pg.Client | undefined;
  let cleaning: Promise<void> | undefined;
  const cleanUp = () =>
    (cleaning ??= (async () => {
      await stopAll();
      await owner?.end();
      await server?.stop();
      rmSync(folder, { recursive: true, force: true });
    })());
  for (const signal of ["SIGINT", "SIGTERM"] as const)
    process.once(signal, () => void cleanUp().finally(() => process.exit(130)));
  // a reader such as `head` has seen enough
  process.stdout.on("error", () => void cleanUp().finally(() => process.exit(1)));
  try {
    const made = await setUp(folder);
    server = made.server;
    owner = made.stage.owner;
    await run(made.stage);
  } catch (error) {
    if (!cleaning) {
      console.error((error as Error).message);
      process.exitCode = 1;
    }
  } finally {
    await cleanUp();
  }
}
