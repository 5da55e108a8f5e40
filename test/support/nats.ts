import { spawn } from "node:child_process";
import { connect } from "node:net";
import { freePort } from "../../mixins/process/ports.ts";
import { eventually } from "./eventually.ts";

/** A NATS server of the test's own. */
export interface NatsServer {
  port: number;
  url: string;
  pid: number;
  /** @param signal default SIGTERM */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/**
 * Starts `nats-server` from the PATH on the loopback; resolves when it accepts connections.
 * @param port default: a free one
 * @param storage folder of its JetStream; default: without JetStream
 */
export async function startNats(port?: number, storage?: string): Promise<NatsServer> {
  port ??= await freePort();
  const jetstream = storage === undefined ? [] : ["-js", "-sd", storage];
  const server = spawn("nats-server", ["-a", "127.0.0.1", "-p", String(port), ...jetstream], {
    stdio: "ignore",
  });
  const ended = new Promise<void>((done, fail) => {
    server.once("exit", () => done());
    server.once("error", (error) => fail(new Error(`nats-server must be on the PATH: ${error.message}`)));
  });
  await Promise.race([
    ended.then(() => Promise.reject(new Error("nats-server ended at once"))),
    accepts(port),
  ]);
  return {
    port,
    url: `nats://127.0.0.1:${port}`,
    pid: server.pid as number,
    async stop(signal = "SIGTERM") {
      server.kill(signal);
      await ended;
    },
  };
}

/** Resolves when somebody listens on the port. */
const accepts = (port: number) =>
  eventually(
    () =>
      new Promise<boolean>((done) => {
        const probe = connect(port, "127.0.0.1");
        const answer = (isOpen: boolean) => {
          probe.destroy();
          done(isOpen);
        };
        probe.once("connect", () => answer(true));
        probe.once("error", () => answer(false));
      }),
  );
