import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { describe, expect, test } from "@jest/globals";
import { OutboundHttp } from "../../mixins/outbound/http.ts";
import { OutboundPolicy } from "../../mixins/outbound/policy.ts";
import {
  ask,
  local,
  newOutside,
  redirect,
  refusal,
  stage,
  useOutboundStage,
  type Handler,
} from "../support/outbound.ts";

useOutboundStage();

test("a request travels with its method, headers and body, and its answer comes back", async () => {
  stage.handler = (_request, response) => void response.writeHead(201, { "x-trace": "t" }).end("réponse");
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
  expect(stage.seen[0]).toMatchObject({
    method: "POST",
    url: "/hook?a=1",
    headers: { authorization: "Bearer s", "user-agent": "Sangam" },
    body: '{"ü":1}',
  });
});

test("a status that is not 2xx is an error of the Outside, with its Retry-After", async () => {
  stage.handler = (_request, response) => void response.writeHead(410).end();
  await expect(ask(local())).rejects.toMatchObject({ status: 410 });
  stage.handler = (_request, response) => void response.writeHead(503, { "retry-after": "7" }).end();
  await expect(ask(local())).rejects.toMatchObject({
    type: "OUTSIDE_UNAVAILABLE",
    data: { retryAfterSeconds: 7 },
  });
});

describe("a name", () => {
  test("that resolves to a permitted address is called there", async () => {
    stage.dns.answers.set("hooks.example.com", [["127.0.0.1"]]);
    await ask(`http://hooks.example.com:${stage.port}/`);
    expect(stage.seen).toMatchObject([
      { dialled: "127.0.0.1", headers: { host: `hooks.example.com:${stage.port}` } },
    ]);
  });

  test("that changes its answer between two connections is refused at the second", async () => {
    stage.dns.answers.set("rebind.example.com", [["127.0.0.1"], ["127.0.0.2"]]);
    const outside = newOutside();
    const client = new OutboundHttp(new OutboundPolicy(["127.0.0.1"]), {
      resolve: (host) => stage.dns.resolve(host),
    });
    stage.clients.push(client);
    const url = `http://rebind.example.com:${stage.port}/`;
    await client.request(outside, url);
    await expect(client.request(outside, url)).rejects.toMatchObject(refusal("host"));
    expect(stage.seen).toHaveLength(1);
  });

  test("is asked for once a connection: what was checked is what is dialled", async () => {
    // whoever resolves a second time, for the socket, is led to 127.0.0.2, where the server listens too
    stage.dns.answers.set("toctou.example.com", [["127.0.0.1"], ["127.0.0.2"]]);
    await ask(`http://toctou.example.com:${stage.port}/`);
    expect(stage.dns.asked).toEqual(["toctou.example.com"]);
    expect(stage.seen).toMatchObject([{ dialled: "127.0.0.1" }]);
  });

  test("that changes its answer between a URL and its redirect is refused", async () => {
    stage.dns.answers.set("hop.example.com", [["127.0.0.1"], ["127.0.0.2"]]);
    stage.handler = redirect({ "/": [302, "/next"] });
    await expect(ask(`http://hop.example.com:${stage.port}/`)).rejects.toMatchObject(refusal("host"));
    expect(stage.seen.map(({ url }) => url)).toEqual(["/"]);
  });

  test.each([
    [["127.0.0.1", "127.0.0.2"]],
    [["127.0.0.2", "127.0.0.1"]],
    [["127.0.0.1", "10.0.0.1"]],
    [["127.0.0.1", "169.254.169.254"]],
    [["127.0.0.1", "8.8.8.8"]],
  ])("with the addresses %j is refused: one of them is forbidden on this port", async (addresses) => {
    stage.dns.answers.set("several.example.com", [addresses]);
    await expect(ask(`http://several.example.com:${stage.port}/`)).rejects.toMatchObject(refusal("host"));
    expect(stage.seen).toEqual([]);
  });

  test.each([["10.0.0.1"], ["169.254.169.254"], ["100.64.0.1"], ["0.0.0.0"], ["224.0.0.1"]])(
    "that resolves to %s is refused on a usual port too, and the answer does not tell the address",
    async (address) => {
      stage.dns.answers.set("inner.example.com", [[address]]);
      const error = (await ask("http://inner.example.com/").catch((caught: unknown) => caught)) as Error;
      expect(error).toMatchObject(refusal("host"));
      expect(error.message).not.toContain(address);
    },
  );

  test("that does not exist makes the dependency unavailable", async () => {
    await expect(ask(`http://nowhere.example.com:${stage.port}/`)).rejects.toMatchObject({
      type: "OUTSIDE_UNAVAILABLE",
    });
  });

  test("must be the one of the certificate", async () => {
    stage.dns.answers.set("hooks.example.com", [["127.0.0.1"]]);
    stage.dns.answers.set("stranger.example.com", [["127.0.0.1"]]);
    expect((await ask(`https://hooks.example.com:${stage.securePort}/`)).status).toBe(200);
    await expect(ask(`https://stranger.example.com:${stage.securePort}/`)).rejects.toMatchObject({
      cause: { code: "ERR_TLS_CERT_ALTNAME_INVALID" },
    });
  });
});

describe("an answer", () => {
  const tooLarge = { code: 502, type: "OUTBOUND_RESPONSE_TOO_LARGE" };
  const unreadable = { code: 502, type: "OUTBOUND_RESPONSE_UNREADABLE" };
  const encoded = (encoding: string, body: Buffer): Handler => {
    return (_request, response) => void response.writeHead(200, { "content-encoding": encoding }).end(body);
  };

  test("may be as large as said, and not a byte larger", async () => {
    stage.handler = (_request, response) => void response.end(Buffer.alloc(1_000));
    expect((await ask(local(), { maxBytes: 1_000 })).body).toHaveLength(1_000);
    await expect(ask(local(), { maxBytes: 999 })).rejects.toMatchObject(tooLarge);
    // chunked: nothing is known before it comes
    stage.handler = (_request, response) => {
      response.write(Buffer.alloc(500));
      response.end(Buffer.alloc(500));
    };
    expect((await ask(local(), { maxBytes: 1_000 })).body).toHaveLength(1_000);
    await expect(ask(local(), { maxBytes: 999 })).rejects.toMatchObject(tooLarge);
  });

  test("without an end is cut off", async () => {
    let sent = 0;
    stage.handler = (_request, response) => {
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
    stage.handler = encoded(encoding, body);
    expect((await ask(local())).body.toString()).toBe("text");
    expect(stage.seen[0]?.headers["accept-encoding"]).toBe("gzip, deflate, br");
  });

  const zeros = Buffer.alloc(64 * 1024 * 1024);
  test.each([
    ["gzip", gzipSync(zeros)],
    ["deflate", deflateSync(zeros)],
    ["br", brotliCompressSync(zeros)],
  ])("in %s that unpacks to 64 MiB is refused, in bounded memory", async (encoding, body) => {
    expect(body.length).toBeLessThan(100_000);
    stage.handler = encoded(encoding, body);
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
    stage.handler = encoded(encoding, body);
    await expect(ask(local())).rejects.toMatchObject(unreadable);
  });

  test("to HEAD has no body, whatever its headers say of one", async () => {
    stage.handler = encoded("gzip", Buffer.alloc(0));
    expect((await ask(local(), { method: "HEAD" })).body).toHaveLength(0);
  });
});

describe("time ends", () => {
  const timesOut = { type: "OUTSIDE_UNAVAILABLE" };
  test("a lookup and a connection that do not come", async () => {
    const start = performance.now();
    const never = () => new Promise<never>(() => undefined);
    await expect(
      ask(`http://slow.example.com:${stage.port}/`, {}, { connectTimeoutMs: 200, resolve: never }),
    ).rejects.toMatchObject({ ...timesOut, cause: { code: "UND_ERR_CONNECT_TIMEOUT" } });
    expect(performance.now() - start).toBeLessThan(4_000);
  });

  test("the wait for the head of an answer", async () => {
    stage.handler = () => undefined;
    await expect(ask(local(), {}, { headersTimeoutMs: 200 })).rejects.toMatchObject({
      ...timesOut,
      cause: { code: "UND_ERR_HEADERS_TIMEOUT" },
    });
  });

  test("a pause within the body", async () => {
    stage.handler = (_request, response) => void response.write("x");
    await expect(ask(local(), {}, { bodyTimeoutMs: 200 })).rejects.toMatchObject({
      ...timesOut,
      cause: { code: "UND_ERR_BODY_TIMEOUT" },
    });
  });

  test("a body that drips, by the timeout of the whole", async () => {
    stage.handler = (_request, response) => {
      const timer = setInterval(() => response.write("x"), 20);
      response.on("close", () => clearInterval(timer));
    };
    const outside = newOutside({ timeoutMs: 300 });
    await expect(ask(local(), {}, {}, outside)).rejects.toMatchObject({ type: "OUTSIDE_TIMEOUT" });
  });
});

test.each(["Host", "content-length", "Transfer-Encoding", "connection", "Proxy-Authorization"])(
  "the header %s is not the caller's to set",
  async (name) => {
    await expect(ask(local(), { headers: { [name]: "x" } })).rejects.toMatchObject(refusal("headers"));
    expect(stage.seen).toEqual([]);
  },
);

test("a header with a line break sends nothing", async () => {
  await expect(ask(local(), { headers: { "x-a": "b\r\nx-c: d" } })).rejects.toThrow();
  expect(stage.seen).toEqual([]);
});

test("what is refused does not count against the dependency", async () => {
  stage.dns.answers.set("inner.example.com", [["10.0.0.1"]]);
  const outside = newOutside({ opensAfter: 2 });
  for (let turn = 0; turn < 3; turn++)
    await expect(ask("http://inner.example.com/", {}, {}, outside)).rejects.toMatchObject(refusal("host"));
  expect((await ask(local(), {}, {}, outside)).status).toBe(200);
});
