import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { OutboundHttp, type OutboundOptions, type OutboundRequest } from "../../mixins/outbound/http.ts";
import { OutboundPolicy } from "../../mixins/outbound/policy.ts";
import { Outside } from "../../mixins/outside-call.ts";
import { startDnsServer, type DnsServer } from "../support/dns-server.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
interface Seen {
  method: string | undefined;
  url: string | undefined;
  headers: IncomingMessage["headers"];
  /** Address that the client dialled. */
  dialled: string | undefined;
  body: string;
}

const pem = readFileSync("test/fixtures/test-certificate.pem", "utf8");
let dns: DnsServer;
let plain: Server;
let secure: Server;
let port: number;
let securePort: number;
let handler: Handler;
let seen: Seen[];
let clients: OutboundHttp[];
let names = 0;

beforeAll(async () => {
  dns = await startDnsServer();
  const serve = (request: IncomingMessage, response: ServerResponse) => {
    const { method, url, headers, socket } = request;
    const entry: Seen = { method, url, headers, dialled: socket.localAddress, body: "" };
    seen.push(entry);
    // each request then needs a connection, and so a lookup
    response.setHeader("connection", "close");
    request
      .setEncoding("utf8")
      .on("data", (text: string) => (entry.body += text))
      .on("end", () => handler(request, response));
  };
  plain = createServer(serve).listen(0, "0.0.0.0");
  secure = createSecureServer({ key: pem, cert: pem }, serve).listen(0, "0.0.0.0");
  await Promise.all([once(plain, "listening"), once(secure, "listening")]);
  port = (plain.address() as AddressInfo).port;
  securePort = (secure.address() as AddressInfo).port;
});
afterAll(async () => {
  dns.close();
  for (const server of [plain, secure]) {
    server.closeAllConnections();
    await new Promise((done) => server.close(done));
  }
});
beforeEach(() => {
  seen = [];
  clients = [];
  dns.asked.length = 0;
  handler = (_request, response) => void response.end("ok");
});
afterEach(() => Promise.all(clients.map((client) => client.close())));

/** Asks with a client of its own that may reach 127.0.0.1, and nothing else that is not public. */
function ask(
  url: string,
  request: OutboundRequest = {},
  options: OutboundOptions = {},
  outside = new Outside(`outbound-${names++}`, { timeoutMs: 5_000 }),
) {
  const client = new OutboundHttp(new OutboundPolicy(["127.0.0.1"]), {
    resolve: (host) => dns.resolve(host),
    ca: pem,
    ...options,
  });
  clients.push(client);
  return client.request(outside, url, request);
}
const refusal = (reason: string) => ({ code: 422, type: "OUTBOUND_REFUSED", data: { reason } });
const redirect =
  (routes: Record<string, [status: number, location: string]>): Handler =>
  (request, response) => {
    const route = routes[request.url ?? ""];
    if (route) response.writeHead(route[0], { location: route[1] });
    response.end("ok");
  };
const local = (path = "/") => `http://127.0.0.1:${port}${path}`;

test("a request travels with its method, headers and body, and its answer comes back", async () => {
  handler = (_request, response) => void response.writeHead(201, { "x-trace": "t" }).end("réponse");
  const answer = await ask(local("/hook?a=1"), {
    method: "POST",
    headers: { "Content-Type": "application/json", Authorization: "Bearer s" },
    body: '{"ü":1}',
  });
  expect({ ...answer, body: answer.body.toString() }).toMatchObject({
    status: 201,
    headers: { "x-trace": "t" },
    body: "réponse",
    url: local("/hook?a=1"),
  });
  expect(seen[0]).toMatchObject({
    method: "POST",
    url: "/hook?a=1",
    headers: { authorization: "Bearer s", "user-agent": "Sangam" },
    body: '{"ü":1}',
  });
});

test("a status that is not 2xx is an error of the Outside, with its Retry-After", async () => {
  handler = (_request, response) => void response.writeHead(410).end();
  await expect(ask(local())).rejects.toMatchObject({ status: 410 });
  handler = (_request, response) => void response.writeHead(503, { "retry-after": "7" }).end();
  await expect(ask(local())).rejects.toMatchObject({
    type: "OUTSIDE_UNAVAILABLE",
    data: { retryAfterSeconds: 7 },
  });
});

describe("a name", () => {
  test("that resolves to a permitted address is called there", async () => {
    dns.answers.set("hooks.example.com", [["127.0.0.1"]]);
    await ask(`http://hooks.example.com:${port}/`);
    expect(seen).toMatchObject([{ dialled: "127.0.0.1", headers: { host: `hooks.example.com:${port}` } }]);
  });

  test("that changes its answer between two connections is refused at the second", async () => {
    dns.answers.set("rebind.example.com", [["127.0.0.1"], ["127.0.0.2"]]);
    const outside = new Outside(`outbound-${names++}`);
    const client = new OutboundHttp(new OutboundPolicy(["127.0.0.1"]), {
      resolve: (host) => dns.resolve(host),
    });
    clients.push(client);
    const url = `http://rebind.example.com:${port}/`;
    await client.request(outside, url);
    await expect(client.request(outside, url)).rejects.toMatchObject(refusal("host"));
    expect(seen).toHaveLength(1);
  });

  test("is asked for once a connection: what was checked is what is dialled", async () => {
    // whoever resolves a second time, for the socket, is led to 127.0.0.2, where the server listens too
    dns.answers.set("toctou.example.com", [["127.0.0.1"], ["127.0.0.2"]]);
    await ask(`http://toctou.example.com:${port}/`);
    expect(dns.asked).toEqual(["toctou.example.com"]);
    expect(seen).toMatchObject([{ dialled: "127.0.0.1" }]);
  });

  test("that changes its answer between a URL and its redirect is refused", async () => {
    dns.answers.set("hop.example.com", [["127.0.0.1"], ["127.0.0.2"]]);
    handler = redirect({ "/": [302, "/next"] });
    await expect(ask(`http://hop.example.com:${port}/`)).rejects.toMatchObject(refusal("host"));
    expect(seen.map(({ url }) => url)).toEqual(["/"]);
  });

  test.each([
    [["127.0.0.1", "127.0.0.2"]],
    [["127.0.0.2", "127.0.0.1"]],
    [["127.0.0.1", "10.0.0.1"]],
    [["127.0.0.1", "169.254.169.254"]],
    [["127.0.0.1", "8.8.8.8"]],
  ])("with the addresses %j is refused: one of them is forbidden on this port", async (addresses) => {
    dns.answers.set("several.example.com", [addresses]);
    await expect(ask(`http://several.example.com:${port}/`)).rejects.toMatchObject(refusal("host"));
    expect(seen).toEqual([]);
  });

  test.each([["10.0.0.1"], ["169.254.169.254"], ["100.64.0.1"], ["0.0.0.0"], ["224.0.0.1"]])(
    "that resolves to %s is refused on a usual port too, and the answer does not tell the address",
    async (address) => {
      dns.answers.set("inner.example.com", [[address]]);
      const error = (await ask("http://inner.example.com/").catch((caught: unknown) => caught)) as Error;
      expect(error).toMatchObject(refusal("host"));
      expect(error.message).not.toContain(address);
    },
  );

  test("that does not exist makes the dependency unavailable", async () => {
    await expect(ask(`http://nowhere.example.com:${port}/`)).rejects.toMatchObject({
      type: "OUTSIDE_UNAVAILABLE",
    });
  });

  test("must be the one of the certificate", async () => {
    dns.answers.set("hooks.example.com", [["127.0.0.1"]]);
    dns.answers.set("stranger.example.com", [["127.0.0.1"]]);
    expect((await ask(`https://hooks.example.com:${securePort}/`)).status).toBe(200);
    await expect(ask(`https://stranger.example.com:${securePort}/`)).rejects.toMatchObject({
      cause: { code: "ERR_TLS_CERT_ALTNAME_INVALID" },
    });
  });
});

describe("a redirect", () => {
  test("is followed three times, and not a fourth", async () => {
    const chain = { "/1": [302, "/2"], "/2": [301, "./3"], "/3": [307, local("/4")] } as const;
    handler = redirect({ ...chain } as never);
    expect((await ask(local("/1"))).url).toBe(local("/4"));
    handler = redirect({ ...chain, "/4": [308, "/5"] } as never);
    await expect(ask(local("/1"))).rejects.toMatchObject(refusal("too_many_redirects"));
    expect(seen.map(({ url }) => url)).toEqual(["/1", "/2", "/3", "/4", "/1", "/2", "/3", "/4"]);
    seen.length = 0;
    await expect(ask(local("/1"), { mostRedirects: 0 })).rejects.toMatchObject(refusal("too_many_redirects"));
    await expect(ask(local("/1"), { mostRedirects: 50 })).rejects.toMatchObject(
      refusal("too_many_redirects"),
    );
    expect(seen).toHaveLength(5);
  });

  test("in a circle ends", async () => {
    handler = redirect({ "/": [302, "/"] });
    await expect(ask(local())).rejects.toMatchObject(refusal("too_many_redirects"));
    expect(seen).toHaveLength(4);
  });

  test.each([
    ["http://169.254.169.254/latest/meta-data/", "host"],
    ["http://127.0.0.2/", "host"],
    ["http://2130706434/", "host"],
    ["http://[::1]/", "host"],
    ["http://[::ffff:127.0.0.1]/", "host"],
    ["http://localhost/", "host"],
    ["//metadata.google.internal/", "host"],
    ["http://user:secret@127.0.0.1/", "credentials"],
    ["file:///etc/passwd", "scheme"],
    ["gopher://127.0.0.1/", "scheme"],
    ["http://", "url"],
  ])("to %s is refused", async (location, reason) => {
    handler = redirect({ "/": [302, location] });
    await expect(ask(local())).rejects.toMatchObject(refusal(reason));
    expect(seen).toHaveLength(1);
  });

  test("after permitted ones is still checked", async () => {
    handler = redirect({ "/1": [302, "/2"], "/2": [302, "http://10.0.0.1/"] });
    await expect(ask(local("/1"))).rejects.toMatchObject(refusal("host"));
  });

  test("from https to http is refused; from http to https is followed", async () => {
    handler = redirect({ "/down": [302, local("/x")], "/up": [302, `https://127.0.0.1:${securePort}/x`] });
    await expect(ask(`https://127.0.0.1:${securePort}/down`)).rejects.toMatchObject(refusal("downgrade"));
    expect(seen.map(({ url }) => url)).toEqual(["/down"]);
    expect((await ask(local("/up"))).url).toBe(`https://127.0.0.1:${securePort}/x`);
  });

  const secrets = {
    authorization: "Bearer s",
    cookie: "a=b",
    "x-api-key": "k",
    "webhook-signature": "v1,s",
    accept: "text/plain",
  };
  test("to another origin carries no secrets on; to the same one it does", async () => {
    dns.answers.set("other.example.com", [["127.0.0.1"]]);
    handler = redirect({ "/1": [302, "/2"], "/2": [302, `http://other.example.com:${port}/3`], "/3": [302, local("/4")] }); // prettier-ignore
    await ask(local("/1"), { headers: secrets });
    expect(seen[1]?.headers).toMatchObject(secrets);
    for (const { headers } of seen.slice(2)) {
      expect(headers).toMatchObject({ accept: "text/plain" });
      expect(Object.keys(headers)).not.toEqual(
        expect.arrayContaining([expect.stringMatching(/authorization|cookie|key|signature/)]),
      );
    }
  });

  test("drops the body when it turns a POST into a GET, and keeps it with 307 and 308", async () => {
    const post = { method: "POST", body: "b", headers: { "content-type": "text/plain" } } as const;
    for (const status of [301, 302, 303, 307, 308]) {
      handler = redirect({ "/": [status, "/to"] });
      await ask(local(), post);
    }
    const arrived = seen.filter(({ url }) => url === "/to");
    expect(arrived.map(({ method, body }) => `${method} ${body}`)).toEqual([
      ...["GET ", "GET ", "GET "],
      ...["POST b", "POST b"],
    ]);
    expect(arrived[0]?.headers).not.toHaveProperty("content-type");
  });
});

describe("an answer", () => {
  const tooLarge = { code: 502, type: "OUTBOUND_RESPONSE_TOO_LARGE" };
  const unreadable = { code: 502, type: "OUTBOUND_RESPONSE_UNREADABLE" };
  const encoded = (encoding: string, body: Buffer): Handler => {
    return (_request, response) => void response.writeHead(200, { "content-encoding": encoding }).end(body);
  };

  test("may be as large as said, and not a byte larger", async () => {
    handler = (_request, response) => void response.end(Buffer.alloc(1_000));
    expect((await ask(local(), { maxBytes: 1_000 })).body).toHaveLength(1_000);
    await expect(ask(local(), { maxBytes: 999 })).rejects.toMatchObject(tooLarge);
    // chunked: nothing is known before it comes
    handler = (_request, response) => {
      response.write(Buffer.alloc(500));
      response.end(Buffer.alloc(500));
    };
    expect((await ask(local(), { maxBytes: 1_000 })).body).toHaveLength(1_000);
    await expect(ask(local(), { maxBytes: 999 })).rejects.toMatchObject(tooLarge);
  });

  test("without an end is cut off", async () => {
    let sent = 0;
    handler = (_request, response) => {
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(65_536))) sent += 65_536;
      };
      response.on("drain", more).on("error", () => undefined);
      more();
    };
    await expect(ask(local())).rejects.toMatchObject(tooLarge);
    expect(sent).toBeLessThan(50 * 1024 * 1024);
  });

  test.each([
    ["gzip", gzipSync("text")],
    ["deflate", deflateSync("text")],
    ["br", brotliCompressSync("text")],
    ["GZIP", gzipSync("text")],
    ["identity", Buffer.from("text")],
  ])("in %s is decoded", async (encoding, body) => {
    handler = encoded(encoding, body);
    expect((await ask(local())).body.toString()).toBe("text");
    expect(seen[0]?.headers["accept-encoding"]).toBe("gzip, deflate, br");
  });

  const zeros = Buffer.alloc(64 * 1024 * 1024);
  test.each([
    ["gzip", gzipSync(zeros)],
    ["deflate", deflateSync(zeros)],
    ["br", brotliCompressSync(zeros)],
  ])("in %s that unpacks to 64 MiB is refused, in bounded memory", async (encoding, body) => {
    expect(body.length).toBeLessThan(100_000);
    handler = encoded(encoding, body);
    const before = process.memoryUsage().arrayBuffers;
    await expect(ask(local())).rejects.toMatchObject(tooLarge);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(16 * 1024 * 1024);
  });

  test.each([
    ["compress", Buffer.from("x")],
    ["gzip, gzip", gzipSync(gzipSync("text"))],
    ["gzip", Buffer.from("not gzip")],
    ["gzip", gzipSync("text".repeat(1_000)).subarray(0, 20)],
    ["br", Buffer.from("not brotli")],
  ])("in %s that cannot be decoded is refused", async (encoding, body) => {
    handler = encoded(encoding, body);
    await expect(ask(local())).rejects.toMatchObject(unreadable);
  });

  test("to HEAD has no body, whatever its headers say of one", async () => {
    handler = encoded("gzip", Buffer.alloc(0));
    expect((await ask(local(), { method: "HEAD" })).body).toHaveLength(0);
  });
});

describe("time ends", () => {
  const timesOut = { type: "OUTSIDE_UNAVAILABLE" };
  test("a lookup and a connection that do not come", async () => {
    const start = performance.now();
    const never = () => new Promise<never>(() => undefined);
    await expect(
      ask(`http://slow.example.com:${port}/`, {}, { connectTimeoutMs: 200, resolve: never }),
    ).rejects.toMatchObject({ ...timesOut, cause: { code: "UND_ERR_CONNECT_TIMEOUT" } });
    expect(performance.now() - start).toBeLessThan(4_000);
  });

  test("the wait for the head of an answer", async () => {
    handler = () => undefined;
    await expect(ask(local(), {}, { headersTimeoutMs: 200 })).rejects.toMatchObject({
      ...timesOut,
      cause: { code: "UND_ERR_HEADERS_TIMEOUT" },
    });
  });

  test("a pause within the body", async () => {
    handler = (_request, response) => void response.write("x");
    await expect(ask(local(), {}, { bodyTimeoutMs: 200 })).rejects.toMatchObject({
      ...timesOut,
      cause: { code: "UND_ERR_BODY_TIMEOUT" },
    });
  });

  test("a body that drips, by the timeout of the whole", async () => {
    handler = (_request, response) => {
      const timer = setInterval(() => response.write("x"), 20);
      response.on("close", () => clearInterval(timer));
    };
    const outside = new Outside(`outbound-${names++}`, { timeoutMs: 300 });
    await expect(ask(local(), {}, {}, outside)).rejects.toMatchObject({ type: "OUTSIDE_TIMEOUT" });
  });
});

test.each(["Host", "content-length", "Transfer-Encoding", "connection", "Proxy-Authorization"])(
  "the header %s is not the caller's to set",
  async (name) => {
    await expect(ask(local(), { headers: { [name]: "x" } })).rejects.toMatchObject(refusal("headers"));
    expect(seen).toEqual([]);
  },
);

test("a header with a line break sends nothing", async () => {
  await expect(ask(local(), { headers: { "x-a": "b\r\nx-c: d" } })).rejects.toThrow();
  expect(seen).toEqual([]);
});

test("what is refused does not count against the dependency", async () => {
  dns.answers.set("inner.example.com", [["10.0.0.1"]]);
  const outside = new Outside(`outbound-${names++}`, { opensAfter: 2 });
  for (let turn = 0; turn < 3; turn++)
    await expect(ask("http://inner.example.com/", {}, {}, outside)).rejects.toMatchObject(refusal("host"));
  expect((await ask(local(), {}, {}, outside)).status).toBe(200);
});
