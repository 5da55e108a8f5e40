import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { request } from "node:http";
import { originOf, startTestNode, type TestNode } from "../support/node.ts";

const app = "https://app.example.com";
let node: TestNode;
let origin: string;
beforeAll(async () => {
  node = await startTestNode({
    SERVICES: "gateway,identity",
    CORS_ORIGINS: `${app},https://other.example.com:8443`,
    PUBLIC_URL: "https://crm.example.com/",
  });
  origin = originOf(node);
});
afterAll(() => node.stop());

/** As a browser sends it; fetch keeps Origin to itself. */
const ask = (method: string, path: string, headers: Record<string, string>) =>
  new Promise<{ status: number | undefined; headers: NodeJS.Dict<string | string[]>; body: string }>(
    (done, fail) => {
      const asking = request(origin + path, { method, headers }, (answer) => {
        let body = "";
        answer.on("data", (chunk) => (body += String(chunk)));
        answer.on("end", () => done({ status: answer.statusCode, headers: answer.headers, body }));
      });
      asking.on("error", fail);
      asking.end();
    },
  );

describe("a page of", () => {
  const preflight = {
    "access-control-request-method": "PATCH",
    "access-control-request-headers": "if-match",
  };

  test.each([app, "https://other.example.com:8443", "https://crm.example.com"])(
    "%s may call the API and read its headers",
    async (from) => {
      const asked = await ask("OPTIONS", "/api/v1/leads", { origin: from, ...preflight });
      expect(asked).toMatchObject({
        status: 204,
        headers: {
          "access-control-allow-origin": from,
          "access-control-allow-methods": expect.stringContaining("PATCH") as unknown as string,
          "access-control-allow-headers": expect.stringContaining("Idempotency-Key") as unknown as string,
          vary: "Origin",
        },
      });
      expect(asked.headers).not.toHaveProperty("access-control-allow-credentials");
      const answer = await ask("GET", "/api/v1/auth/me", { origin: from });
      expect(answer).toMatchObject({ status: 401, headers: { "access-control-allow-origin": from } });
      expect(answer.headers["access-control-expose-headers"]).toContain("ETag");
    },
  );

  test.each([
    ...[
      "https://evil.example",
      "http://app.example.com",
      "https://app.example.com:444",
      "null",
      "https://app.example.co",
    ],
    ...[
      "https://app.example.com.evil.example",
      "https://sub.app.example.com",
      "https://other.example.com",
      "https://",
    ],
  ])("%s may not", async (from) => {
    for (const [method, headers] of [
      ["OPTIONS", preflight],
      ["GET", {}],
    ] as const) {
      const answer = await ask(method, "/api/v1/auth/me", { origin: from, ...headers });
      expect(answer).toMatchObject({
        status: 403,
        headers: { "content-type": "application/problem+json; charset=utf-8" },
      });
      expect(answer.body).toContain("ORIGIN_NOT_ALLOWED");
      expect(answer.headers).not.toHaveProperty("access-control-allow-origin");
    }
  });

  test("nowhere in particular, a program, is not asked", async () => {
    const answer = await ask("GET", "/api/v1/auth/me", {});
    expect(answer.status).toBe(401);
    expect(answer.headers).not.toHaveProperty("access-control-allow-origin");
  });
});

describe("an answer", () => {
  const paths = ["/api/v1/auth/me", "/api/v1/auth/jwks", "/health", "/nowhere", "/api/v1/nowhere"];
  test.each(paths)("of %s is not to be run, framed, guessed at or kept", async (path) => {
    expect((await ask("GET", path, {})).headers).toMatchObject({
      "x-content-type-options": "nosniff",
      "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
      "referrer-policy": "no-referrer",
      "cache-control": "no-store",
      "strict-transport-security": "max-age=31536000",
    });
  });
  test("with the page of the API's docs may run the page's own scripts alone", async () => {
    const { headers } = await ask("GET", "/docs", {});
    expect(headers["content-security-policy"]).toContain("default-src 'self'");
    expect(headers["x-content-type-options"]).toBe("nosniff");
  });
  test("tells no version of what made it", async () => {
    const { headers } = await ask("GET", "/api/v1/auth/me", {});
    for (const name of ["server", "x-powered-by"]) expect(headers).not.toHaveProperty(name);
  });
});
