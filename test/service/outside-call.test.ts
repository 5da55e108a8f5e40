import { afterEach, beforeEach, describe, expect, test } from "@jest/globals";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { Outside, type OutsideCall, type OutsideOptions } from "../../mixins/outbound/outside-call.ts";
import { requireOk } from "../../mixins/outbound/outside-status.ts";
import { registry } from "../../mixins/process/metrics.ts";
import { eventually } from "../support/eventually.ts";

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

let server: Server;
let url: string;
let handler: Handler;
let requests: { endedEarly: boolean }[];
let names = 0;

const answers =
  (status: number, headers: Record<string, string> = {}): Handler =>
  (_request, response) =>
    void response.writeHead(status, headers).end("{}");
const stalls: Handler = () => undefined;

beforeEach(async () => {
  requests = [];
  handler = answers(200);
  server = createServer((request, response) => {
    const seen = { endedEarly: false };
    requests.push(seen);
    response.on("close", () => (seen.endedEarly = !response.writableEnded));
    handler(request, response);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterEach(async () => {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
});

const outside = (options?: OutsideOptions) => new Outside(`test-${names++}`, options);
const get = (dependency: Outside, call?: OutsideCall) =>
  dependency.call(async (signal) => (await requireOk(await fetch(url, { signal }))).status, call);
const failure = (work: Promise<unknown>) =>
  work.then(
    () => Promise.reject(new Error("it succeeded")),
    (
      error: Error & { code?: number; type?: string; status?: number; data?: { retryAfterSeconds: number } },
    ) => error,
  );
const failTimes = async (count: number, dependency: Outside) => {
  for (let turn = 0; turn < count; turn++) await failure(get(dependency));
};
const metric = async (name: string, dependency: Outside, outcome = "") =>
  Number(
    (await registry.metrics())
      .split("\n")
      .find((line) => line.startsWith(`${name}{name="${dependency.name}"`) && line.includes(outcome))
      ?.split(" ")
      .at(-1),
  );

test("a stalled server is given up after the timeout, and its request is ended", async () => {
  handler = stalls;
  const dependency = outside({ timeoutMs: 100 });
  expect(await failure(get(dependency))).toMatchObject({ code: 504, type: "OUTSIDE_TIMEOUT" });
  await eventually(() => requests[0]?.endedEarly);
  expect(await metric("outside_calls_total", dependency, "timeout")).toBe(1);
});

test("the caller's deadline is shorter than the timeout, and its abort shorter than both", async () => {
  handler = stalls;
  const start = performance.now();
  expect(await failure(get(outside(), { remainingMs: 100 }))).toMatchObject({ type: "OUTSIDE_TIMEOUT" });
  expect(await failure(get(outside(), { remainingMs: 0 }))).toMatchObject({ type: "DEADLINE_EXCEEDED" });
  const reason = new Error("the user left");
  const controller = new AbortController();
  const call = failure(get(outside(), { isIdempotent: true, signal: controller.signal }));
  await eventually(() => requests.length === 2);
  controller.abort(reason);
  expect(await call).toBe(reason);
  expect(performance.now() - start).toBeLessThan(10_000);
});

describe("the circuit", () => {
  test("opens after five failures in a row, and then sends nothing", async () => {
    handler = answers(500);
    const dependency = outside();
    await failTimes(5, dependency);
    expect(await metric("outside_breaker_state", dependency)).toBe(2);
    const refused = await failure(get(dependency));
    expect(refused).toMatchObject({ code: 503, type: "OUTSIDE_UNAVAILABLE" });
    expect(refused.data?.retryAfterSeconds).toBeGreaterThan(50);
    expect(refused.data?.retryAfterSeconds).toBeLessThanOrEqual(60);
    expect(requests).toHaveLength(5);
  });

  test("does not open when successes or refusals stand between the failures", async () => {
    const dependency = outside();
    for (const status of [500, 500, 500, 500, 200, 500, 500, 500, 500, 404, 500, 500, 500, 500]) {
      handler = answers(status);
      await get(dependency).catch(() => undefined);
    }
    expect(await metric("outside_breaker_state", dependency)).toBe(0);
    expect(requests).toHaveLength(14);
  });

  test("opens for a server that refuses connections, and for one that stalls", async () => {
    await new Promise((done) => server.close(done));
    const closed = outside();
    await failTimes(5, closed);
    expect(await metric("outside_breaker_state", closed)).toBe(2);
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    handler = stalls;
    const stalled = outside({ timeoutMs: 30 });
    await failTimes(5, stalled);
    expect(await metric("outside_breaker_state", stalled)).toBe(2);
  });

  test("lets one probe through after a while: its success closes it, its failure does not", async () => {
    handler = answers(500);
    const dependency = outside({ openForMs: 200 });
    await failTimes(5, dependency);
    const probe = () => eventually(async () => (await failure(get(dependency)), requests.length === 6));
    await probe();
    expect(await metric("outside_breaker_state", dependency)).toBe(2);
    let release: () => void = () => undefined;
    handler = (request, response) => (release = () => answers(200)(request, response));
    const probing: Promise<unknown>[] = [];
    await eventually(() => {
      probing.push(get(dependency).catch(() => "refused"));
      return requests.length === 7;
    });
    // while it is under way nobody else goes
    expect(await failure(get(dependency))).toMatchObject({ type: "OUTSIDE_UNAVAILABLE" });
    release();
    expect(await Promise.all(probing)).toContain(200);
    expect(await metric("outside_breaker_state", dependency)).toBe(0);
    handler = answers(200);
    expect(await get(dependency)).toBe(200);
  });

  test("is not opened by callers who leave, and not closed by a probe that was cut short", async () => {
    handler = stalls;
    const patient = outside();
    for (let turn = 0; turn < 6; turn++) await failure(get(patient, { remainingMs: 20 }));
    expect(await metric("outside_breaker_state", patient)).toBe(0);
    handler = answers(500);
    const broken = outside({ openForMs: 50 });
    await failTimes(5, broken);
    handler = stalls;
    await eventually(
      async () => (await failure(get(broken, { remainingMs: 20 }))).type === "OUTSIDE_TIMEOUT",
    );
    expect(await metric("outside_breaker_state", broken)).toBe(2);
  });
});

describe("the bulkhead", () => {
  test("runs only so many at once, lets some wait, and refuses the rest", async () => {
    const waiting: (() => void)[] = [];
    handler = (request, response) => void waiting.push(() => answers(200)(request, response));
    const dependency = outside({ atOnce: 2, mostWaiting: 1 });
    const calls = [get(dependency), get(dependency), get(dependency)];
    expect(await failure(get(dependency))).toMatchObject({ code: 503, type: "OUTSIDE_UNAVAILABLE" });
    await eventually(() => waiting.length === 2);
    expect(requests).toHaveLength(2);
    waiting.shift()?.();
    await eventually(() => requests.length === 3);
    for (const go of waiting) go();
    await eventually(() => waiting.length === 2);
    expect(await Promise.all(calls)).toEqual([200, 200, 200]);
    expect(await metric("outside_calls_total", dependency, "full")).toBe(1);
  });

  test("lets a waiting call go at its deadline, and never sends it", async () => {
    handler = stalls;
    const dependency = outside({ atOnce: 1, timeoutMs: 1_000 });
    const first = failure(get(dependency));
    expect(await failure(get(dependency, { remainingMs: 50 }))).toMatchObject({ type: "OUTSIDE_TIMEOUT" });
    await first;
    expect(requests).toHaveLength(1);
  });
});

describe("a repetition", () => {
  const failsOnce = (status: number, headers?: Record<string, string>) => {
    handler = (request, response) =>
      answers(requests.length === 1 ? status : 200, headers)(request, response);
  };

  test("is made for an idempotent call, after a server error or a limit", async () => {
    for (const status of [500, 503, 429]) {
      requests = [];
      failsOnce(status);
      expect(await get(outside(), { isIdempotent: true })).toBe(200);
      expect(requests).toHaveLength(2);
    }
  });

  test("is not made for a call that may not be sent twice, nor for a refusal", async () => {
    failsOnce(500);
    expect(await failure(get(outside()))).toMatchObject({ type: "OUTSIDE_UNAVAILABLE" });
    expect(requests).toHaveLength(1);
    requests = [];
    handler = answers(404);
    expect(await failure(get(outside(), { isIdempotent: true }))).toMatchObject({ status: 404 });
    expect(requests).toHaveLength(1);
  });

  test("waits for as long as Retry-After says, unless the caller has no such time", async () => {
    failsOnce(503, { "retry-after": "1" });
    const start = performance.now();
    expect(await get(outside(), { isIdempotent: true })).toBe(200);
    expect(performance.now() - start).toBeGreaterThan(950);
    requests = [];
    failsOnce(503, { "retry-after": "7" });
    const refused = await failure(get(outside(), { isIdempotent: true, remainingMs: 5_000 }));
    expect(refused).toMatchObject({ type: "OUTSIDE_UNAVAILABLE", data: { retryAfterSeconds: 7 } });
    expect(requests).toHaveLength(1);
  });
});
