/** @jest-environment ./test/support/environment.mjs */
import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { kinds } from "../../entities/kinds.ts";
import type { Claims } from "../../mixins/access/access-token.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";
import { RealtimeServer, SocketClient, buildClaims, tokenOf } from "../support/realtime.ts";

// presence and typing in one process, without Redis
let node: TestNode;
let server: RealtimeServer;
const clients: SocketClient[] = [];
beforeAll(async () => {
  node = await startTestNode({ SERVICES: [...kinds.values()].map(({ plural }) => plural).join() });
  server = await RealtimeServer.listen(node);
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
});
afterAll(async () => {
  await server.close();
  await node.stop();
});

function connect(claims: Claims): Promise<SocketClient> {
  const client = new SocketClient(server.url, tokenOf(claims));
  clients.push(client);
  return client.connected();
}
const received = (client: SocketClient, name: string) => client.others.filter(([sent]) => sent === name);
const webSocketOf = ({ socket }: SocketClient) =>
  (socket.io.engine as unknown as { transport: { ws: { pause(): void; resume(): void } } }).transport.ws;
/** Long enough that some messages with it fill what the kernel keeps for a reader. */
const longId = () => uuidv7() + "x".repeat(40_000);

async function slowSockets(): Promise<number> {
  const metrics = await (await fetch(`http://127.0.0.1:${node.metricsPort}/metrics`)).text();
  return Number(/^crm_sockets_slow_total (\d+)/m.exec(metrics)?.[1]);
}

test("presence and typing work without Redis", async () => {
  const asha = buildClaims();
  const ravi = buildClaims({ organizationId: asha.organizationId });
  const [one, two] = [await connect(asha), await connect(ravi)];
  expect(await one.send("presence", { status: "away" })).toMatchObject({ ok: true });
  expect(await two.send("presence", { status: "online" })).toMatchObject({ users: [{}, {}] });
  const lead = await node.call(
    "leads.create",
    { firstName: "Meera" },
    { organizationId: asha.organizationId, role: "system" },
  );
  const typing = { entity: { kind: "lead", id: lead.id }, isTyping: true };
  expect(await one.send("typing", typing)).toEqual({ ok: true });
  await eventually(() => received(two, "typing").length === 1);
  one.close();
  await eventually(() => received(two, "presence").length === 2);
  expect(two.others).toEqual([
    ["presence", { users: [{ userId: asha.userId, status: "away" }] }],
    ["typing", { ...typing, userId: asha.userId }],
    ["presence", { users: [{ userId: asha.userId, status: "offline" }] }],
  ]);
});

test.each([...kinds.values()].map((kind) => [kind.name, kind] as const))(
  "typing in a %s is seen by who may see the record, and by nobody else",
  async (name, { plural, example }) => {
    const asha = buildClaims();
    const { organizationId } = asha;
    const [sender, viewer, rep, stranger] = await Promise.all(
      [
        asha,
        buildClaims({ organizationId, role: "viewer" }),
        buildClaims({ organizationId, role: "sales_rep" }),
        buildClaims(),
      ].map(connect),
    );
    const meta = { organizationId, role: "system" };
    const record = await node.broker.call<{ id: string }, object>(`${plural}.create`, example, { meta });
    const typing = { entity: { kind: name, id: record.id }, isTyping: true };
    expect(await stranger?.send("typing", typing)).toMatchObject({ ok: false });
    expect(await sender?.send("typing", typing)).toEqual({ ok: true });
    await eventually(() => viewer !== undefined && received(viewer, "typing").length === 1);
    for (const other of [rep, stranger]) expect(other && received(other, "typing")).toEqual([]);
  },
);

test("an organization with too many sockets is refused another, until one is closed", async () => {
  const small = await RealtimeServer.listen(node, { mostSocketsOfOrganization: 2 });
  const { organizationId } = buildClaims();
  const open = (claims: Claims) => {
    const client = new SocketClient(small.url, tokenOf(claims));
    clients.push(client);
    return client.connected();
  };
  const colleague = () => buildClaims({ organizationId });
  const [one] = [await open(colleague()), await open(colleague())];
  await expect(open(colleague())).rejects.toThrow(new Error("TOO_MANY_CONNECTIONS"));
  expect((await open(buildClaims())).socket.connected).toBe(true);
  one.close();
  await eventually(async () => (await open(colleague())).socket.connected);
  await small.close();
});

test("a reader that stops reading is left out of typing, and told again when it reads", async () => {
  const asha = buildClaims({ userId: longId() });
  const lead = await node.call(
    "leads.create",
    { firstName: "Meera" },
    { organizationId: asha.organizationId, role: "system" },
  );
  const typing = { entity: { kind: "lead", id: lead.id }, isTyping: true };
  const slow = await connect(buildClaims({ organizationId: asha.organizationId }));
  const quick = await connect(buildClaims({ organizationId: asha.organizationId }));
  const senders = await Promise.all(Array.from({ length: 20 }, () => connect(asha)));
  webSocketOf(slow).pause();
  let sent = 0;
  for (let second = 0; second < 2; second++) {
    for (let turn = 0; turn < 15; turn++)
      for (const sender of senders) if ((await sender.send("typing", typing)).ok) sent++;
    await new Promise((passed) => setTimeout(passed, 1_000));
  }
  const toQuick = received(quick, "typing").length;
  expect(toQuick).toBeGreaterThan(0.9 * sent);
  webSocketOf(slow).resume();
  await eventually(async () => {
    const before = received(slow, "typing").length;
    await senders[0]!.send("typing", { ...typing, isTyping: false });
    return before > 0 && received(slow, "typing").length > before;
  });
  expect(received(slow, "typing").length).toBeLessThan(0.7 * toQuick);
  expect(slow.socket.connected).toBe(true);
});

test("a reader that does not read who comes and goes is cut off", async () => {
  const { organizationId } = buildClaims();
  const slow = await connect(buildClaims({ organizationId }));
  const crowd = await Promise.all(
    Array.from({ length: 20 }, () => connect(buildClaims({ organizationId, userId: longId() }))),
  );
  const before = await slowSockets();
  webSocketOf(slow).pause();
  let turn = 0;
  await eventually(async () => {
    const status = turn++ % 2 === 0 ? "online" : "away";
    for (const member of crowd) member.socket.emit("presence", { status });
    await new Promise((passed) => setTimeout(passed, 110));
    return (await slowSockets()) > before;
  }, 20_000);
  webSocketOf(slow).resume();
  await slow.ended();
  expect(crowd.filter(({ socket }) => !socket.connected)).toEqual([]);
});
