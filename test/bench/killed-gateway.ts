import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Client } from "../support/client.ts";
import { startNginx } from "../support/nginx.ts";
import { Crowd, machineMs } from "./crowd.ts";
import { feedOf, headOf } from "./feeds.ts";
import { cpuMs, postgresOf, residentMiB } from "./processes.ts";
import { printVerdicts } from "./report.ts";
import type { Ask, Group, Report, Standing, Told } from "./resuming-clients.ts";
import { makeEnterprises, onStage, percentile, tokensFor, type Stage } from "./stage.ts";

const usage = `node test/bench/killed-gateway.ts [options]: a gateway full of sockets is killed with kill -9
  --sockets <n>        that it holds, authenticated and subscribed (default 10000)
  --organizations <n>  they belong to (default 20)
  --rate <n>           leads made a second meanwhile (default 10)
  --missed <n>         leads that each organization makes at once when it is killed (default 0)
  --profile <folder>   writes V8 profiles of the other processes
Clients are stock Socket.IO ones with its own settings for reconnecting, in processes of their own, behind nginx, which sends
everything to the first gateway while that lives. Exits with 1 when the aim is missed or a client missed or doubled an event.`;

const { values: flags } = parseArgs({
  options: {
    sockets: { type: "string", default: "10000" },
    organizations: { type: "string", default: "20" },
    rate: { type: "string", default: "10" },
    missed: { type: "string", default: "0" },
    profile: { type: "string" },
    help: { type: "boolean", default: false },
  },
});
const socketCount = Number(flags.sockets);
const organizationCount = Number(flags.organizations);
const leadsPerSecond = Number(flags.rate);
const missedAtOnce = Number(flags.missed);
const processes = 4;
const aimMs = 15_000;
const patienceMs = 60_000;
const beforeMs = 5_000;
const afterMs = 3_000;

/** Makes leads at a steady pace, at the gateway that lives. */
class Writer {
  readonly #admins: readonly Client[];
  readonly #posts: Promise<void>[] = [];
  #isOver = false;
  readonly #running: Promise<void>;
  created = 0;
  failed = 0;

  constructor(admins: readonly Client[]) {
    this.#admins = admins;
    this.#running = this.#run();
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
    await Promise.all(this.#posts);
  }

  /** Many at once, in every organization. */
  async burst(count: number): Promise<void> {
    for (let left = count; left > 0; left -= 500) {
      const items = Array.from({ length: Math.min(500, left) }, (_, index) => ({
        firstName: `Lead ${index}`,
      }));
      await Promise.all(this.#admins.map((admin) => admin.post("/leads/bulk", { items })));
    }
  }

  async #run(): Promise<void> {
    const begin = performance.now();
    for (let index = 0; !this.#isOver; index++) {
      const early = begin + (index * 1000) / leadsPerSecond - performance.now();
      if (early > 0) await sleep(early);
      this.#posts.push(this.#post(this.#admins[index % this.#admins.length] as Client, index));
    }
  }

  async #post(admin: Client, index: number): Promise<void> {
    const answer = await admin.post("/leads", { firstName: `Lead ${index}` }).catch(() => undefined);
    if (answer?.status === 201) this.created++;
    else this.failed++;
  }
}

type Clients = Crowd<Ask, Told>;
async function standingOf(crowds: readonly Clients[]): Promise<Standing> {
  const all = await Promise.all(crowds.map((crowd) => crowd.ask({ standing: true }) as Promise<Standing>));
  const least: Record<string, number> = {};
  for (const one of all)
    for (const [id, seq] of Object.entries(one.least)) least[id] = Math.min(least[id] ?? Infinity, seq);
  return {
    caughtUp: all.reduce((sum, { caughtUp }) => sum + caughtUp, 0),
    lastCaughtUpAt: Math.max(...all.map(({ lastCaughtUpAt }) => lastCaughtUpAt)),
    least,
  };
}

/** Organizations with their admins, at the gateway that will live, and their sockets' tokens. */
async function fill(stage: Stage): Promise<{ admins: Client[]; groups: Group[] }> {
  const [, survivor] = stage.gateways;
  const admins: Client[] = [];
  for (let index = 0; index < organizationCount; index++)
    admins.push(await new Client(survivor.origin).register(`Org${index}`));
  await makeEnterprises(stage.databaseUrl);
  const groups: Group[] = [];
  for (const admin of admins) {
    const tokens = await tokensFor(admin, Math.ceil(socketCount / organizationCount));
    groups.push({ organizationId: admin.organizationId, tokens, since: await headOf(admin) });
  }
  return { admins, groups };
}

async function run(stage: Stage): Promise<boolean> {
  const [victim, survivor] = stage.gateways;
  const { admins, groups } = await fill(stage);
  const servers = [victim.origin, `${survivor.origin} backup`].map((each) => each.replace("http://", ""));
  const headers = { Host: "$http_host", Upgrade: "$http_upgrade", Connection: "upgrade" };
  const setting = Object.entries(headers).map(([name, value]) => `proxy_set_header ${name} ${value};`);
  const nginx = await startNginx(servers, `${setting.join(" ")} proxy_pass http://gateways;`, processes);
  const crowds: Clients[] = Array.from(
    { length: processes },
    (_, index) => new Crowd(stage.folder, `clients-${index}`, "resuming-clients.ts"),
  );
  try {
    const begunAt = machineMs();
    await Promise.all(
      crowds.map((crowd, index) =>
        crowd.ask({
          connect: { url: nginx.origin, groups: groups.filter((_, of) => of % processes === index) },
        }),
      ),
    );
    const sockets = groups.reduce((sum, { tokens }) => sum + tokens.length, 0);
    console.log(
      `${sockets} sockets of ${organizationCount} organizations subscribed in ${seconds(machineMs() - begunAt)}; the gateway that holds them has ${residentMiB(victim.child).toFixed(0)} MiB, the other ${residentMiB(survivor.child).toFixed(0)}`,
    );
    const writer = new Writer(admins);
    await sleep(beforeMs);
    await Promise.all(crowds.map((crowd) => crowd.ask({ fault: true })));

    const measured = [survivor.child, postgresOf(stage.folder)];
    const used = () => [...measured.map(cpuMs), crowds.reduce((sum, crowd) => sum + crowd.cpuMs(), 0)];
    const before = used();
    const killedAt = machineMs();
    victim.child.process.kill("SIGKILL");
    if (missedAtOnce > 0) await writer.burst(missedAtOnce);
    let standing = await standingOf(crowds);
    while (standing.caughtUp < sockets && machineMs() - killedAt < patienceMs) {
      await sleep(250);
      standing = await standingOf(crowds);
    }
    const elapsed = machineMs() - killedAt;
    const cores = used().map((cpu, index) => ((cpu - (before[index] as number)) / elapsed).toFixed(2));
    const caughtUpMs = standing.lastCaughtUpAt - killedAt;

    await sleep(afterMs);
    await writer.stop();
    const { expected, isComplete } = await untilSeen(crowds, admins, groups);
    const reports = await Promise.all(
      crowds.map((crowd) => crowd.ask({ report: { expected } }) as Promise<Report>),
    );
    const total = (of: (report: Report) => number) => reports.reduce((sum, report) => sum + of(report), 0);
    const all = (of: (report: Report) => number[]) => reports.flatMap(of);
    const subscribedAt = all((report) => report.subscribedAt);
    const took = (Math.max(...subscribedAt) - Math.min(...subscribedAt)) / 1000;
    const refusals = Map.groupBy(
      reports.flatMap(({ refusals }) => Object.entries(refusals)),
      ([why]) => why,
    );
    console.log(
      `Killed: all ${standing.caughtUp} of ${sockets} subscribed elsewhere and caught up after ${seconds(caughtUpMs)}; ${Math.round(sockets / took)} resubscriptions/s from the first to the last, ${busiestSecond(subscribedAt)} in the busiest second`,
    );
    const delays = {
      connected: all((report) => report.connectedMs),
      subscribed: all((report) => report.subscribedMs),
      "caught up": all((report) => report.caughtUpMs),
    };
    for (const [what, values] of Object.entries(delays))
      console.log(`  from a client's disconnect until it was ${what}: ${spread(values)}`);
    console.log(
      `  longest wait of an event, of each client: ${spread(all((report) => report.longestLagMs))}`,
    );
    console.log(
      `  ${(total(({ attempts }) => attempts) / sockets).toFixed(2)} attempts a client; refused: ${[...refusals].map(([why, counts]) => `${why} ${counts.reduce((sum, [, count]) => sum + count, 0)}`).join(", ") || "none"}`,
    );
    console.log(
      `  of a core meanwhile: the other gateway ${cores[0]}, PostgreSQL ${cores[1]}, clients ${cores[2]}`,
    );
    const [missed, doubled, outOfOrder] = [
      total((of) => of.missed),
      total((of) => of.doubled),
      total((of) => of.outOfOrder),
    ];
    console.log(
      `  ${writer.created} leads made meanwhile, ${writer.failed} refused; clients saw ${total(({ events }) => events)} events: ${missed} missed, ${doubled} doubled, ${outOfOrder} out of order`,
    );
    const isWhole = isComplete && missed + doubled + outOfOrder === 0;
    const isInTime = standing.caughtUp === sockets && caughtUpMs <= aimMs;
    printVerdicts([
      {
        aim: `${sockets} sockets of a killed gateway subscribed elsewhere and caught up within ${aimMs / 1000} s`,
        reached: seconds(caughtUpMs),
        met: isInTime,
      },
      {
        aim: "events that a client missed or doubled: none",
        reached: `${missed + doubled}, at ${total((of) => of.wrongClients)} clients`,
        met: isWhole,
      },
    ]);
    return isInTime && isWhole;
  } finally {
    await Promise.all(crowds.map((crowd) => crowd.stop()));
    await nginx.stop();
  }
}

/** Waits until every client has what the feeds hold; gives up after a minute. */
async function untilSeen(
  crowds: readonly Clients[],
  admins: readonly Client[],
  groups: readonly Group[],
): Promise<{ expected: Record<string, number[]>; isComplete: boolean }> {
  await sleep(1_000); // the last events get their places
  const expected: Record<string, number[]> = {};
  for (const [index, { organizationId, tokens, since }] of groups.entries()) {
    const { origin } = admins[index] as Client;
    // as those who own the sockets may see it
    expected[organizationId] = await feedOf({ origin, token: tokens[0] ?? "" }, since);
  }
  const deadline = performance.now() + 60_000;
  for (;;) {
    const { least } = await standingOf(crowds);
    const isComplete = Object.entries(expected).every(([id, seqs]) => (least[id] ?? 0) >= (seqs.at(-1) ?? 0));
    if (isComplete || performance.now() > deadline) return { expected, isComplete };
    await sleep(250);
  }
}

const seconds = (value: number): string => `${(value / 1000).toFixed(1)} s`;
const spread = (values: number[]): string =>
  `p50 ${seconds(percentile(values, 0.5))}, p95 ${seconds(percentile(values, 0.95))}, max ${seconds(Math.max(...values))}`;

function busiestSecond(at: number[]): number {
  const bySecond = Map.groupBy(at, (each) => Math.floor(each / 1000));
  return Math.max(...[...bySecond.values()].map(({ length }) => length));
}

if (flags.help) console.log(usage);
else
  await onStage({ hasCore: true, profiles: flags.profile }, async (stage) => {
    if (!(await run(stage))) process.exitCode = 1;
  });
