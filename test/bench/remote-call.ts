import { fork } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ServiceBroker, type Context } from "moleculer";
import { v7 as uuidv7 } from "uuid";
import { z } from "zod";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { readEnv } from "../../mixins/process/env.ts";
import { createService } from "../../mixins/contract/service.ts";
import { brokerOptions } from "../../moleculer.config.ts";
import { startNode } from "../../services/node.ts";
import { startNats } from "../support/nats.ts";
import { cpuMs } from "./processes.ts";

const { values: flags } = parseArgs({
  options: { rounds: { type: "string" }, seconds: { type: "string" }, host: { type: "string" } },
});
const rounds = Number(flags.rounds ?? 7);
const seconds = Number(flags.seconds ?? 2);
const callers = 32;
const params = { id: uuidv7(), name: "Asha Rao", score: 42, tags: ["a", "b"] };

const contract = defineContract("echo", {
  actions: {
    say: action({
      summary: "Answers what it was asked",
      params: z.strictObject({ id: z.uuid(), name: z.string(), score: z.int(), tags: z.array(z.string()) }),
      returns: z.strictObject({ id: z.uuid(), name: z.string(), score: z.int(), tags: z.array(z.string()) }),
      permission: "leads:read",
    }),
  },
  events: {},
});
/** A broker as Moleculer makes it, but for the transporter. */
const plainBroker = (nodeID: string, url: string) =>
  new ServiceBroker({
    nodeID,
    namespace: "plain",
    transporter: { type: "NATS", options: { url } },
    logger: false,
  });

/** The other process: hosts the action twice, plain and as a service of ours. */
async function host(url: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "sangam-bench-"));
  chmodSync(folder, 0o755);
  const node = await startNode(settings(url, { DATA_DIR: folder, SERVICES: "events" }), [
    {
      contract,
      factory: (runtime) =>
        createService(
          contract,
          { say: (ctx: { params: typeof params }) => Promise.resolve(ctx.params) },
          runtime,
        ),
    },
  ]);
  const plain = plainBroker("plain-host", url);
  plain.createService({ name: "echo", actions: { say: (ctx: Context<typeof params>) => ctx.params } });
  await plain.start();
  process.send?.("ready");
  await once(process, "message");
  await plain.stop();
  await node.stop();
  rmSync(folder, { recursive: true, force: true });
  process.exit(0);
}
const settings = (url: string, more: Record<string, string>) =>
  readEnv({
    NATS_URL: url,
    NAMESPACE: "sangam",
    METRICS_PORT: "0",
    LOG_LEVEL: "error",
    SEED_DEMO: "false",
    ...more,
  });

/** Calls a second of `callers` that call one after the other, and the CPU a call took in all three processes. */
async function load(broker: ServiceBroker, pids: number[]): Promise<{ rate: number; cpuUs: number }> {
  const used = { name: "all", pids: () => pids };
  const before = cpuMs(used);
  const meta = { organizationId: uuidv7(), userId: uuidv7(), role: "admin", requestId: "r" };
  let calls = 0;
  const until = performance.now() + seconds * 1000;
  await Promise.all(
    Array.from({ length: callers }, async () => {
      for (; performance.now() < until; calls++) await broker.call("echo.say", params, { meta: { ...meta } });
    }),
  );
  return { rate: calls / seconds, cpuUs: ((cpuMs(used) - before) * 1000) / calls };
}

async function compare(): Promise<void> {
  const nats = await startNats();
  const child = fork(process.argv[1] as string, ["--host", nats.url]);
  await once(child, "message");
  const ours = new ServiceBroker(brokerOptions(settings(nats.url, { NODE_ID: "caller" })));
  const plain = plainBroker("plain-caller", nats.url);
  await Promise.all([ours.start(), plain.start()]);
  await Promise.all([ours.waitForServices("echo"), plain.waitForServices("echo")]);
  const pids = [process.pid, child.pid as number, nats.pid];
  await load(ours, pids);
  await load(plain, pids);
  const ratios = { rate: [] as number[], cpu: [] as number[] };
  for (let round = 1; round <= rounds; round++) {
    const [typed, bare] = [await load(ours, pids), await load(plain, pids)];
    ratios.rate.push(typed.rate / bare.rate);
    ratios.cpu.push(typed.cpuUs / bare.cpuUs);
    console.log(
      `round ${round}: typed ${typed.rate.toFixed(0)} calls/s, ${typed.cpuUs.toFixed(1)} µs CPU each; `
        + `plain ${bare.rate.toFixed(0)} calls/s, ${bare.cpuUs.toFixed(1)} µs`,
    );
  }
  console.log(
    `remote typed call: ${spread(ratios.rate)} of a plain one's throughput (aim 0.85), ${spread(ratios.cpu)} of its CPU`,
  );
  child.send("stop");
  await Promise.all([once(child, "exit"), ours.stop(), plain.stop()]);
  await nats.stop();
}

/** `0.91, 0.85 to 0.97`: the median and the ends. */
function spread(values: number[]): string {
  const sorted = values.map((value) => value.toFixed(2)).sort();
  return `${sorted[Math.floor(sorted.length / 2)]}, ${sorted[0]} to ${sorted.at(-1)},`;
}

await (flags.host === undefined ? compare() : host(flags.host));
