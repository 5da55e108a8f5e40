import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { connect } from "node:net";
import { io } from "socket.io-client";
import { Client } from "../support/client.ts";
import { createDatabase, dropDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { startProcess, type NodeProcess } from "../support/process.ts";

const leads = 120;
let database: string;
let node: NodeProcess;
let admin: Client;

beforeAll(async () => {
  database = await createDatabase();
  // a small machine's
  node = await startProcess("small", {
    DATABASE_URL: database,
    NODE_OPTIONS: "--max-old-space-size=256",
    CHECK_RESULTS: "never",
  });
  admin = await new Client(node.origin).register("Large");
  // each as large as a record may be
  const customFields = Object.fromEntries(
    Array.from({ length: 13 }, (_, index) => [
      `field${index}`,
      String.fromCharCode(97 + index).repeat(4_950),
    ]),
  );
  for (let from = 0; from < leads; from += 15) {
    const items = Array.from({ length: 15 }, (_, index) => ({ externalId: `${from + index}`, customFields }));
    const answer = await admin.post("/leads/bulk", { items });
    const { results } = answer.body as { results: { status: number }[] };
    expect(results.map(({ status }) => status)).toEqual(items.map(() => 201));
  }
  await eventually(
    async () => ((await admin.get("/events?limit=1")).body as { head: number }).head === leads,
  );
}, 120_000);
afterAll(async () => {
  await node.stop();
  await dropDatabase(database);
});

test("a process with a small heap survives an organization that reads the largest records and its feed all at once", async () => {
  // readers that never take what they asked for
  const stalled = Array.from({ length: 20 }, () => {
    const socket = connect(Number(new URL(node.origin).port), "127.0.0.1", () => {
      socket.write(
        `GET /api/v1/leads?limit=200 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${admin.token}\r\n\r\n`,
      );
      socket.pause();
    });
    socket.on("error", () => undefined);
    return socket;
  });
  const followers = Array.from({ length: 5 }, () =>
    io(node.origin, { auth: { token: admin.token }, transports: ["websocket"], forceNew: true }),
  );
  const followed = followers.map(
    (socket) =>
      new Promise<number>((done) => {
        let seen = 0;
        socket.on("event", () => {
          if (++seen === leads) done(seen);
        });
        socket.on("connect", () => socket.emit("subscribe", { since: 0 }));
      }),
  );
  const statuses = new Set<number>();
  const ask = async (path: string) => statuses.add((await admin.get(path)).status);
  await Promise.all([
    ...Array.from({ length: 38 }, () => ask("/leads?limit=200")),
    ...Array.from({ length: 3 }, () => ask("/events?limit=1000")),
    ask("/leads/export?format=xlsx"),
    ask("/leads/export"),
  ]);
  expect(await Promise.all(followed)).toEqual(followers.map(() => leads));
  expect(node.child.exitCode).toBeNull();
  // 503 is an answer, an end of the process is none
  expect([...statuses].filter((status) => status !== 200 && status !== 503)).toEqual([]);
  expect(statuses.has(200)).toBe(true);
  for (const socket of stalled) socket.destroy();
  for (const socket of followers) socket.disconnect();
  expect((await admin.get("/leads?limit=1")).status).toBe(200);
  expect(node.output()).not.toMatch(/heap out of memory/);
}, 120_000);
