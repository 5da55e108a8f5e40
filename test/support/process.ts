import { spawn, type ChildProcess } from "node:child_process";
import { freePort } from "../../mixins/process/ports.ts";

/** A Sangam process of its own, as an operator would start it. */
export interface NodeProcess {
  child: ChildProcess;
  name: string;
  /** Origin of its gateway; only useful with the gateway service in it. */
  origin: string;
  metricsOrigin: string;
  /** What it wrote so far. */
  output(): string;
  kill(signal: NodeJS.Signals): void;
  /** Ends it and waits; SIGKILL if it does not end in 30 s. */
  stop(): Promise<number | null>;
}

/**
 * Starts a program with these settings and waits until it says that it runs.
 * @param program default: as operators start it
 */
export async function startProcess(
  name: string,
  settings: Record<string, string>,
  program = "services/start.ts",
): Promise<NodeProcess> {
  const [port, metricsPort] = [await freePort(), await freePort()];
  const child = spawn(process.execPath, [program], {
    env: {
      PATH: process.env.PATH,
      HOST: "127.0.0.1",
      PORT: String(port),
      METRICS_PORT: String(metricsPort),
      NODE_ID: name,
      MASTER_KEY: Buffer.alloc(32, 7).toString("base64"),
      RATE_LIMIT_PER_MINUTE: "1000000",
      LOG_LEVEL: "warn",
      SEED_DEMO: "false",
      DRAIN_SECONDS: "0",
      CHECK_RESULTS: "always",
      ...settings,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const ended = new Promise<number | null>((done) => child.once("exit", done));
  const running = new Promise<void>((done, fail) => {
    const read = (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes("Sangam is running")) done();
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.once("exit", () => fail(new Error(`${name} ended:\n${output}`)));
    setTimeout(() => fail(new Error(`${name} did not start in 120 s:\n${output}`)), 120_000).unref();
  });
  try {
    await running;
  } catch (error) {
    child.kill("SIGKILL");
    throw error;
  }
  return {
    child,
    name,
    origin: `http://127.0.0.1:${settings.PORT ?? port}`,
    metricsOrigin: `http://127.0.0.1:${metricsPort}`,
    output: () => output,
    kill: (signal) => void child.kill(signal),
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      child.kill("SIGTERM");
      const timer = setTimeout(() => child.kill("SIGKILL"), 30_000);
      try {
        return await ended;
      } finally {
        clearTimeout(timer);
      }
    },
  };
}

/** Sum of a counter's samples whose labels include `labels`, from a process's /metrics. */
export async function metric(process: NodeProcess, name: string, labels = ""): Promise<number> {
  const text = await (await fetch(`${process.metricsOrigin}/metrics`)).text();
  return text
    .split("\n")
    .filter((line) => line.startsWith(name) && line.includes(labels))
    .reduce((sum, line) => sum + Number(line.split(" ").at(-1)), 0);
}
