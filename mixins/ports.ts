import { createServer, type AddressInfo } from "node:net";

/** A TCP port of the loopback address that nobody listens on now. */
export function freePort(): Promise<number> {
  return listenOnce(0, "127.0.0.1");
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
