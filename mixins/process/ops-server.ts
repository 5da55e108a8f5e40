import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { HealthReport } from "./health.ts";
import { registry } from "./metrics.ts";

/** Serves /metrics (Prometheus) and /health/startup|live|ready of a process, with or without a gateway in it. */
export class OpsServer {
  readonly port: number;
  readonly #server: Server;
  #report: (() => HealthReport) | undefined;
  #isStarted = false;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("request", (request, response) => {
      void this.#answer(request.url ?? "/").then(
        ({ status, type, body }) => response.writeHead(status, { "content-type": type }).end(body),
        (error: Error) => response.writeHead(500).end(error.message),
      );
    });
  }

  static async listen(port: number, host: string): Promise<OpsServer> {
    const server = createServer();
    await new Promise<void>((done, fail) => {
      server.once("error", fail);
      server.listen(port, host, done);
    });
    return new OpsServer(server);
  }

  /** From now on readiness is what `report` says. */
  watch(report: () => HealthReport): void {
    this.#report = report;
  }

  /** From now on the process counts as started. */
  started(): void {
    this.#isStarted = true;
  }

  async #answer(url: string): Promise<{ status: number; type: string; body: string }> {
    const json = (status: number, body: unknown) => ({
      status,
      type: "application/json",
      body: JSON.stringify(body),
    });
    switch (url) {
      case "/metrics":
        return { status: 200, type: registry.contentType, body: await registry.metrics() };
      case "/health/live":
        return json(200, { status: "ok" });
      case "/health/startup":
        return this.#isStarted ? json(200, { status: "ok" }) : json(503, { status: "starting" });
      case "/health/ready": {
        const { isReady, checks } = this.#report?.() ?? { isReady: false, checks: {} };
        if (!this.#isStarted) return json(503, { status: "starting", checks });
        return json(isReady ? 200 : 503, { status: isReady ? "ok" : "unavailable", checks });
      }
      default:
        return json(404, { status: "not found" });
    }
  }

  close(): Promise<void> {
    this.#server.closeAllConnections();
    return new Promise((done) => this.#server.close(() => done()));
  }
}
