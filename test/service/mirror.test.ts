import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { connect, type NatsConnection } from "nats";
import { v7 as uuidv7 } from "uuid";
import { freePort } from "../../mixins/process/ports.ts";
import { append } from "../support/feed.ts";
import { startNats, type NatsServer } from "../support/nats.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";

let folder: string;
let nats: NatsServer;
let node: TestNode;
let client: NatsConnection;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "sangam-jetstream-"));
  nats = await startNats(await freePort(), folder);
  node = await startTestNode({
    SERVICES: "service:worker,events,mirror",
    NATS_URL: nats.url,
    JETSTREAM_MIRROR: "true",
  });
  client = await connect({ servers: nats.url });
});
afterAll(async () => {
  await client.close();
  await node.stop();
  await nats.stop();
  rmSync(folder, { recursive: true, force: true });
});

interface Mirrored {
  organizationId: string;
  seq: number;
  type: string;
}
/** What the stream holds, in its order. */
async function stored(): Promise<(Mirrored & { subject: string })[]> {
  const manager = await client.jetstreamManager();
  const { state } = await manager.streams.info("crm");
  const messages = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const message = await manager.streams.getMessage("crm", { seq });
    messages.push({ subject: message.subject, ...message.json<Mirrored>() });
  }
  return messages;
}

test("every event is in the stream once and in order, though its listener runs twice", async () => {
  const organizationId = uuidv7();
  for (let n = 0; n < 20; n++)
    await append(node.runtime, organizationId, { type: n % 2 ? "lead.updated" : "lead.created" });
  await eventually(async () => (await stored()).length === 20, 20_000);
  const shard = node.runtime.database.shardOf(organizationId);
  await node.runtime.database.transaction({ platform: shard }, (tx) =>
    tx.execute({
      text: "UPDATE listener_cursors SET seq = 0 WHERE organization_id = $1",
      values: [organizationId],
    }),
  );
  await append(node.runtime, organizationId, {});
  await eventually(async () => (await stored()).length === 21, 20_000);
  const events = await stored();
  expect(events.map(({ seq }) => seq)).toEqual(Array.from({ length: 21 }, (_, index) => index + 1));
  expect(new Set(events.map((event) => event.organizationId))).toEqual(new Set([organizationId]));
  expect(events.slice(0, 2).map(({ subject }) => subject)).toEqual(["crm.lead.created", "crm.lead.updated"]);
  expect(events[0]).not.toHaveProperty("audience");
});

test("while JetStream is away events wait, and come when it is back", async () => {
  const organizationId = uuidv7();
  await nats.stop();
  await append(node.runtime, organizationId, {}, {});
  nats = await startNats(nats.port, folder);
  await eventually(
    async () => (await stored()).filter((event) => event.organizationId === organizationId).length === 2,
    30_000,
  );
}, 60_000);
