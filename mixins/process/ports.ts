import { randomInt } from "node:crypto";
import { createServer, type AddressInfo } from "node:net";
import { holderOf } from "./port-holder.ts";

/** Below every system's range for outgoing connections, one of which could take the port before its owner listens. */
const firstPort = 10_000;
const portsOfProcess = 500;
const processes = 20;

/** Processes that run side by side look in ranges of their own. */
const ownFirstPort = firstPort + (process.pid % processes) * portsOfProcess;
let tried = randomInt(portsOfProcess);

/**
 * A TCP port of the loopback address that nobody listens on now, from 10,000 to 19,999: 10,000 above it
 * are no such ports (a Redis Cluster node wants that one too).
 */
export async function freePort(): Promise<number> {
  for (let looked = 0; looked < portsOfProcess; looked += 1) {
    tried = (tried + 1) % portsOfProcess;
    const port = ownFirstPort + tried;
    try {
      return await listenOnce(port, "127.0.0.1");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE") throw error;
    }
  }
  throw new Error(`No port from ${ownFirstPort} to ${ownFirstPort + portsOfProcess - 1} is free.`);
}

/**
 * Checks that a port can be listened on, before anything is started that would have to be undone.
 * @param variable the setting the port comes from
 * @throws Error naming the setting and, where that can be known, the process that has it and its folder
 */
export async function requireFreePort(variable: string, port: number, host: string): Promise<void> {
  try {
    await listenOnce(port, host);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EADDRINUSE")
      throw new Error(`${variable} ${port} on ${host} cannot be listened on: ${(error as Error).message}`, {
        cause: error,
      });
    const holder = await holderOf(port);
    const by = holder ? ` by process ${holder.pid} (${holder.command}, in ${holder.folder})` : "";
    throw new Error(`${variable} ${port} is in use${by}; choose another, or 0 for any free one.`, {
      cause: error,
    });
  }
}

function listenOnce(port: number, host: string): Promise<number> {
  return new Promise((done, fail) => {
    const probe = createServer();
    probe.once("error", fail);
    probe.listen(port, host, () => {
      const { port: taken } = probe.address() as AddressInfo;
      probe.close(() => done(taken));
    });
  });
}
