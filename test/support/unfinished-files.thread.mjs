import { readdirSync, readFileSync, rmSync, writeSync } from "node:fs";
import { clearInterval, setInterval } from "node:timers";
import { setTimeout as sleep } from "node:timers/promises";
import { parentPort, workerData } from "node:worker_threads";

// Beside Jest's own process: see unfinished-files.mjs.
const { minutes } = workerData;
const mostMs = minutes * 60_000;
/** Path and begin of each file that runs. */
let running = [];
let folder;
parentPort.on("message", (message) => ({ running, folder } = message));

const timer = setInterval(
  () => {
    const late = running.filter(([, since]) => Date.now() - since > mostMs);
    if (late.length > 0) void end(late.map(([path]) => path));
  },
  Math.min(5_000, mostMs / 4),
);

async function end(paths) {
  clearInterval(timer);
  for (const path of paths)
    writeSync(
      2,
      `\n${path} did not finish within ${minutes} minutes: it loops, or waits, for ever. The run ends here.\n`,
    );
  const started = descendantsOf(process.pid);
  const isServer = (pid) => statOf(pid)?.name === "postgres";
  const servers = started.filter(isServer);
  // PostgreSQL's fast shutdown; a killed one would leave shared memory behind
  for (const pid of servers) signal(pid, "SIGINT");
  for (const pid of started.filter((one) => !servers.includes(one))) signal(pid, "SIGKILL");
  for (let waited = 0; waited < 50 && servers.some((pid) => statOf(pid)); waited++) await sleep(100);
  if (folder) rmSync(folder, { recursive: true, force: true });
  parentPort.postMessage("end");
  // a file that Jest runs in its own process keeps that from hearing anything
  await sleep(1_000);
  process.kill(process.pid, "SIGKILL");
}

function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch {
    // it has ended
  }
}

/** Every process that came of this one. */
function descendantsOf(ancestor) {
  const parents = new Map(
    readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map((name) => [Number(name), statOf(name)?.parent]),
  );
  const found = [ancestor];
  for (const one of found) for (const [pid, parent] of parents) if (parent === one) found.push(pid);
  return found.slice(1);
}

/** Name and parent of a process that runs. */
function statOf(pid) {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return state === "Z"
      ? undefined
      : { name: stat.slice(stat.indexOf("(") + 1, stat.lastIndexOf(")")), parent: Number(parent) };
  } catch {
    return undefined;
  }
}
