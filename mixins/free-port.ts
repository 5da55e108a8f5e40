import { createServer } from "node:net";

/**
 * Checks that a port can be listened on, before anything is started that would have to be undone.
 * @param variable the setting the port comes from
 * @throws Error naming the setting
 */
export async function requireFreePort(variable: string, port: number, host: string): Promise<void> {
  const probe = createServer();
  await new Promise<void>((done, fail) => {
    probe.once("error", (error: NodeJS.ErrnoException) =>
      fail(
        error.code === "EADDRINUSE"
          ? new Error(`${variable} ${port} is in use; choose another, or 0 for any free one.`)
          : new Error(`${variable} ${port} on ${host} cannot be listened on: ${error.message}`),
      ),
    );
    probe.listen(port, host, () => probe.close(() => done()));
  });
}
