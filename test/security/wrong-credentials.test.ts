import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { connect } from "node:net";
import { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, startTestNode, type TestNode } from "../support/node.ts";
import { SocketClient } from "../support/realtime.ts";

const perMinute = 40;
let node: TestNode;
let member: Client;
beforeAll(async () => {
  node = await startTestNode({ RATE_LIMIT_PER_MINUTE: `${perMinute}`, TRUST_PROXY: "true" });
  member = await new Client(originOf(node)).register("Wrong");
});
afterAll(() => node.stop());

let addresses = 0;
const newAddress = () => `198.51.100.${++addresses}`;
const forged = `${"a".repeat(20)}.${"b".repeat(20)}.${"c".repeat(20)}`;
/** The statuses that many requests from one address are answered with, and those of one more with a good credential. */
async function flood(send: (from: Record<string, string>) => Promise<{ status: number; headers: Headers }>) {
  const address = newAddress();
  const statuses: number[] = [];
  let retryAfter: string | null = null;
  for (let n = 0; n < perMinute + 20; n++) {
    const { status, headers } = await send({ "x-forwarded-for": address });
    statuses.push(status);
    retryAfter = headers.get("retry-after");
  }
  return { address, statuses, retryAfter };
}
const visitor = () => new Client(member.origin);

describe("from one address", () => {
  test.each([
    ["forged access tokens", { authorization: `Bearer ${forged}` }],
    ["invented API keys", { "x-api-key": `sgm_0123456789ab_${"x".repeat(43)}` }],
    ["what is no API key", { "x-api-key": "sgm_bogus" }],
  ])("%s are refused with 429 after a minute's worth", async (_what, headers) => {
    const { statuses, retryAfter } = await flood((from) =>
      visitor().get("/auth/me", { ...headers, ...from }),
    );
    expect(statuses.slice(0, 10)).toEqual(Array(10).fill(401));
    expect(statuses.slice(-10)).toEqual(Array(10).fill(429));
    expect(Number(retryAfter)).toBeGreaterThan(0);
  });

  test.each([
    [
      "refresh tokens",
      "/auth/refresh",
      { refreshToken: `0198c0de-0000-7000-8000-000000000001.${"a".repeat(43)}` },
      401,
    ],
    [
      "tokens of links",
      "/auth/password/reset",
      { token: "invented", password: "correct-horse-battery" },
      400,
    ],
    ["passwords", "/auth/login", { email: "nobody@example.com", password: "wrong" }, 401],
  ])(
    "wrong %s count, and the address is refused as a stranger everywhere",
    async (_what, path, body, wrong) => {
      const { address, statuses } = await flood((from) => visitor().post(path, body, from));
      expect(statuses[0]).toBe(wrong);
      expect(statuses.at(-1)).toBe(429);
      const forgery = { authorization: `Bearer ${forged}`, "x-forwarded-for": address };
      for (let n = 0; n < perMinute; n++) await visitor().get("/auth/me", forgery);
      expect((await visitor().get("/auth/me", forgery)).status).toBe(429);
    },
  );

  test("forgeries shut out neither a token that is known here, nor anybody elsewhere", async () => {
    await member.get("/auth/me");
    const { address } = await flood((from) =>
      visitor().get("/auth/me", { authorization: `Bearer ${forged}`, ...from }),
    );
    expect((await member.get("/auth/me", { "x-forwarded-for": address })).status).toBe(200);
    const elsewhere = { "x-forwarded-for": newAddress(), authorization: `Bearer ${forged}` };
    expect((await visitor().get("/auth/me", elsewhere)).status).toBe(401);
  });

  test("forged tokens of sockets are refused as RATE_LIMITED", async () => {
    const extraHeaders = { "x-forwarded-for": newAddress() };
    const outcome = async () => {
      const client = new SocketClient(member.origin, forged, { extraHeaders });
      try {
        return await client.connected().then(
          () => "connected",
          (error: Error) => error.message,
        );
      } finally {
        client.close();
      }
    };
    expect(await outcome()).toBe("TOKEN_INVALID");
    for (let n = 0; n < perMinute; n++) await outcome();
    expect(await outcome()).toBe("RATE_LIMITED");
  });
});

test("a socket that never says who it is, and answers no close, is cut off within some seconds", async () => {
  const { hostname, port } = new URL(member.origin);
  const socket = connect(Number(port), hostname);
  try {
    let isClosed = false;
    socket.on("close", () => (isClosed = true)).on("error", () => undefined);
    socket.write(
      [
        "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1",
        `Host: ${hostname}:${port}`,
        ...["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13"],
        ...["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "", ""],
      ].join("\r\n"),
    );
    socket.resume();
    await eventually(() => isClosed, 9_000);
  } finally {
    socket.destroy();
  }
});
