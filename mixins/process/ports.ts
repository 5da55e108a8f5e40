import { randomInt } from "node:crypto";
import { createServer, type AddressInfo } from "node:net";

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
 * @throws Error naming the setting
 */
export async function requireFreePort(variable: string, port: number, host: string): Promise<void> {
  try {
    await listenOnce(port, host);
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === "EADDRINUSE"
      ? new Error(`${variable} ${port} is in use; choose another, or 0 for any free one.`)
      : new Error(`${variable} ${port} on ${host} cannot be listened on: ${(error as Error).message}`);
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
