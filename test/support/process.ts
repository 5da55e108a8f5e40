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

/** One that may still be starting. */
export interface LaunchedProcess extends NodeProcess {
  /** @throws Error with its output, when it ends before it runs, or does not run within 120 s */
  running: Promise<void>;
  /** Its exit code; null after a signal. */
  ended: Promise<number | null>;
}

export interface Launch {
  /** Default: as operators start it. */
  program?: string;
  /** Run instead of node with the program. */
  command?: [string, ...string[]];
  /** Default: none. */
  input?: "pipe";
}

/**
 * Starts a program with these settings and waits until it says that it runs.
 * @param program default: as operators start it
 */
export async function startProcess(
  name: string,
  settings: Record<string, string>,
  program?: string,
): Promise<NodeProcess> {
  const launched = await launchProcess(name, settings, { program });
  try {
    await launched.running;
  } catch (error) {
    launched.kill("SIGKILL");
    throw error;
  }
  return launched;
}

/** Starts a program with these settings, and does not wait. */
export async function launchProcess(
  name: string,
  settings: Record<string, string>,
  { program = "services/start.ts", command = [process.execPath, program], input }: Launch = {},
): Promise<LaunchedProcess> {
  const [port, metricsPort] = [await freePort(), await freePort()];
  const [file, ...words] = command;
  const child = spawn(file, words, {
    env: {
      PATH: process.env.PATH,
      // compiled once for all processes of a run
      NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE,
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
    stdio: [input ?? "ignore", "pipe", "pipe"],
  });
  let output = "";
  const ended = new Promise<number | null>((done) => child.once("close", done));
  const running = new Promise<void>((done, fail) => {
    const read = (chunk: Buffer) => {
      output += chunk.toString();
      if (output.includes("Sangam is running")) done();
    };
    child.stdout?.on("data", read);
    child.stderr?.on("data", read);
    child.once("error", fail);
    child.once("exit", () => fail(new Error(`${name} ended:\n${output}`)));
    setTimeout(() => fail(new Error(`${name} did not start in 120 s:\n${output}`)), 120_000).unref();
  });
  running.catch(() => undefined); // who waits for its end need not wait for this
  return {
    child,
    name,
    origin: `http://127.0.0.1:${settings.PORT ?? port}`,
    metricsOrigin: `http://127.0.0.1:${settings.METRICS_PORT ?? metricsPort}`,
    running,
    ended,
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
