import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Client } from "../support/client.ts";
import { createDatabase, dropDatabase } from "../support/database.ts";
import { startNats, type NatsServer } from "../support/nats.ts";
import { eventually } from "../support/eventually.ts";
import { type Node, originOf, startNode, testEnv, type TestNode } from "../support/node.ts";
import { SocketClient } from "../support/realtime.ts";

// roles and teams are changed at one node, their users work at another, and only NATS and PostgreSQL between them
let nats: NatsServer;
let databases: string[];
let nodes: Node[];
let admin: Client;
let elsewhere: string;
const sockets: SocketClient[] = [];
beforeAll(async () => {
  nats = await startNats();
  databases = [await createDatabase(), await createDatabase()];
  const start = (SERVICES: string) => startNode(testEnv(databases, { SERVICES, NATS_URL: nats.url }));
  nodes = [
    await start("service:gateway,identity,teams,leads,events"),
    await start("service:gateway,leads,events"),
  ];
  for (const { broker } of nodes) await broker.waitForServices(["identity", "teams", "leads", "events"]);
  // a broadcast goes to the nodes that are known
  await eventually(() => {
    const services = nodes[0]?.broker.registry.getServiceList({ onlyAvailable: true }) ?? [];
    return services.some(({ name, nodeID }) => name === "gateway" && nodeID === nodes[1]?.broker.nodeID);
  });
  const [here, there] = nodes.map((node) => originOf(node as TestNode)) as [string, string];
  elsewhere = there;
  admin = await new Client(here).register("Nodes");
});
afterAll(async () => {
  for (const socket of sockets) socket.close();
  for (const node of nodes.toReversed()) await node.stop();
  await nats.stop();
  for (const url of databases) await dropDatabase(url);
});

const made = async <T>(answer: ReturnType<Client["post"]>): Promise<T> => {
  const { status, body } = await answer;
  if (status >= 300) throw new Error(JSON.stringify(body));
  return body as T;
};
/** The same user's client at the other node. */
const movedThere = (client: Client) =>
  new Client(elsewhere, {
    ...{ accessToken: client.token ?? "", refreshToken: "" },
    ...{ user: { id: client.userId }, organization: { id: client.organizationId } },
  });
const newLead = (assignedTo: string) =>
  made<{ id: string }>(admin.post("/leads", { firstName: "L", assignedTo }));
const heard = (socket: SocketClient, { id }: { id: string }) =>
  socket.events.some(({ entity }) => entity.id === id);

/** A user of a custom role with a socket at the other node, and what changes the role at this one. */
async function employ(): Promise<{
  user: Client;
  socket: SocketClient;
  setSight: (sees: string) => Promise<unknown>;
}> {
  const role = await made<{ id: string }>(
    admin.post("/roles", { name: `R${sockets.length}`, permissions: ["leads:read", "events:read"] }),
  );
  const user = movedThere(await admin.addUser(role.id));
  const socket = new SocketClient(elsewhere, user.token ?? "");
  sockets.push(socket);
  await socket.connected();
  expect(await socket.send("subscribe", {})).toMatchObject({ ok: true });
  return { user, socket, setSight: (sees) => made(admin.send("PATCH", `/roles/${role.id}`, { sees })) };
}

test("a change of a role holds at another node and its sockets at once", async () => {
  const { user, socket, setSight } = await employ();
  const before = await newLead(admin.userId);
  expect(await user.get(`/leads/${before.id}`)).toMatchObject({ status: 404 });
  await setSight("all");
  await eventually(async () => (await user.get(`/leads/${before.id}`)).status === 200, 500);
  await eventually(async () => {
    const shown = await newLead(admin.userId);
    return eventually(() => heard(socket, shown), 500);
  }, 2_000);
  expect(heard(socket, before)).toBe(false);
});

test("a change of a team does", async () => {
  const rep = await admin.addUser("sales_rep");
  const manager = movedThere(await admin.addUser("manager"));
  const lead = await newLead(rep.userId);
  expect(await manager.get(`/leads/${lead.id}`)).toMatchObject({ status: 200 });
  const team = await made<{ id: string }>(admin.post("/teams", { name: "T", managerIds: [manager.userId] }));
  await eventually(async () => (await manager.get(`/leads/${lead.id}`)).status === 404, 500);
  await made(admin.send("PATCH", `/teams/${team.id}`, { memberIds: [rep.userId] }));
  await eventually(async () => (await manager.get(`/leads/${lead.id}`)).status === 200, 500);
});
