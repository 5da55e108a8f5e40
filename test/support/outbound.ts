import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { afterAll, afterEach, beforeAll, beforeEach } from "@jest/globals";
import { OutboundHttp, type OutboundOptions, type OutboundRequest } from "../../mixins/outbound/http.ts";
import { OutboundPolicy } from "../../mixins/outbound/policy.ts";
import { Outside } from "../../mixins/outbound/outside-call.ts";
import { startDnsServer, type DnsServer } from "./dns-server.ts";

export type Handler = (request: IncomingMessage, response: ServerResponse) => void;
interface Seen {
  method: string | undefined;
  url: string | undefined;
  headers: IncomingMessage["headers"];
  /** Address that the client dialled. */
  dialled: string | undefined;
  body: string;
}

const pem = readFileSync("test/fixtures/test-certificate.pem", "utf8");
let plain: Server;
let secure: Server;
/** What outbound requests meet: an HTTP and an HTTPS server, and who answers for names. */
export const stage = {} as {
  dns: DnsServer;
  port: number;
  securePort: number;
  /** Answers every request, once its body has come. */
  handler: Handler;
  /** What has come, in order. */
  seen: Seen[];
  /** Closed when the test ends. */
  clients: OutboundHttp[];
};

let names = 0;
/** A dependency of its own, with its own circuit. */
export const newOutside = (options: ConstructorParameters<typeof Outside>[1] = {}): Outside =>
  new Outside(`outbound-${names++}`, options);

/** Sets the stage up for every test of the file that calls this. */
export function useOutboundStage(): void {
  beforeAll(async () => {
    stage.dns = await startDnsServer();
    const serve = (request: IncomingMessage, response: ServerResponse) => {
      const { method, url, headers, socket } = request;
      const entry: Seen = { method, url, headers, dialled: socket.localAddress, body: "" };
      stage.seen.push(entry);
      // each request then needs a connection, and so a lookup
      response.setHeader("connection", "close");
      request
        .setEncoding("utf8")
        .on("data", (text: string) => (entry.body += text))
        .on("end", () => stage.handler(request, response));
    };
    plain = createServer(serve).listen(0, "0.0.0.0");
    secure = createSecureServer({ key: pem, cert: pem }, serve).listen(0, "0.0.0.0");
    await Promise.all([once(plain, "listening"), once(secure, "listening")]);
    stage.port = (plain.address() as AddressInfo).port;
    stage.securePort = (secure.address() as AddressInfo).port;
  });
  afterAll(async () => {
    stage.dns.close();
    for (const server of [plain, secure]) {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    }
  });
  beforeEach(() => {
    stage.seen = [];
    stage.clients = [];
    stage.dns.asked.length = 0;
    stage.handler = (_request, response) => void response.end("ok");
  });
  afterEach(() => Promise.all(stage.clients.map((client) => client.close())));
}

/** Asks with a client of its own that may reach 127.0.0.1, and nothing else that is not public. */
export function ask(
  url: string,
  request: OutboundRequest = {},
  options: OutboundOptions = {},
  outside = newOutside({ timeoutMs: 5_000 }),
) {
  const client = new OutboundHttp(new OutboundPolicy(["127.0.0.1"]), {
    resolve: (host) => stage.dns.resolve(host),
    ca: pem,
    ...options,
  });
  stage.clients.push(client);
  return client.request(outside, url, request);
}
export const refusal = (reason: string) => ({ code: 422, type: "OUTBOUND_REFUSED", data: { reason } });
export const redirect =
  (routes: Record<string, [status: number, location: string]>): Handler =>
  (request, response) => {
    const route = routes[request.url ?? ""];
    if (route) response.writeHead(route[0], { location: route[1] });
    response.end("ok");
  };
export const local = (path = "/") => `http://127.0.0.1:${stage.port}${path}`;
