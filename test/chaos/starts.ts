import { spawn } from "node:child_process";
import { parseArgs } from "node:util";
import { Client } from "../support/client.ts";
import { requireProgram } from "../support/programs.ts";
import { Cluster } from "./cluster.ts";

/**
 * `npm run test:starts`: a cluster is started again and again, and asked at once by people who register, at every gateway: what a
 * node answers that has not heard of the others yet. `-- --starts 50 --busy 2`: how often, and how many processes do
 * nothing but take the cores meanwhile. Ends with 1 when anything else than 201 and 503 was answered.
 */
const { values } = parseArgs({
  options: {
    starts: { type: "string", default: "50" },
    busy: { type: "string", default: "2" },
  },
});
requireProgram("nats-server");
const askedMs = 2_000;
const size = { gateway: 2, core: 2, worker: 1, cron: 0 };

const busy = Array.from({ length: Number(values.busy) }, () =>
  spawn(process.execPath, ["-e", "for (;;);"], { stdio: "ignore" }),
);
const answers = new Map<string, number>();
try {
  for (let start = 1; start <= Number(values.starts); start++) {
    const cluster = await Cluster.start(size, { hasRedis: false, settings: {} });
    try {
      await Promise.all(cluster.origins.map((origin) => registerFor(origin)));
    } finally {
      await cluster.stop();
    }
    console.log(
      `start ${start}: ${[...answers].map(([answer, count]) => `${count} × ${answer}`).join(", ")}`,
    );
  }
} finally {
  for (const process of busy) process.kill("SIGKILL");
}
const isFine = [...answers.keys()].every((answer) => answer === "201" || answer.startsWith("503"));
process.exit(isFine ? 0 : 1);

async function registerFor(origin: string): Promise<void> {
  const visitor = new Client(origin);
  const until = performance.now() + askedMs;
  for (let count = 0; performance.now() < until; count++) {
    const { status, body } = await visitor.post("/auth/register", {
      ...{ organizationName: "Early", name: "Ann", password: "correct-horse-battery" },
      email: `early-${count}-${Math.random().toString(36).slice(2)}@test.example`,
    });
    const answer = status === 201 ? "201" : `${status} ${(body as { code: string }).code}`;
    answers.set(answer, (answers.get(answer) ?? 0) + 1);
  }
}
