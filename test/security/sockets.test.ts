import { afterAll, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { io, type Socket } from "socket.io-client";
import type { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { buildWorld, mark, roles, type World } from "./world.ts";

let world: World;
let foreignLead: string;
beforeAll(async () => {
  world = await buildWorld();
  foreignLead = world.foreign["/leads/:id"] as string;
});
afterAll(() => world.node.stop());

interface Listening {
  socket: Socket;
  /** Everything the server ever sent, as text. */
  heard: string[];
}
const open: Socket[] = [];
beforeEach(() => {
  for (const socket of open.splice(0)) socket.disconnect();
});

async function connect(client: Client): Promise<Listening> {
  const socket = io(client.origin, {
    auth: { token: client.token ?? client.apiKey },
    transports: ["websocket"],
    forceNew: true,
  });
  open.push(socket);
  const heard: string[] = [];
  socket.onAny((...message: unknown[]) => heard.push(JSON.stringify(message)));
  await new Promise<void>((done, fail) => {
    socket.on("connect", done);
    socket.on("connect_error", fail);
  });
  return { socket, heard };
}
const ask = ({ socket }: Listening, name: string, message: object): Promise<{ ok: boolean; code?: string }> =>
  socket.timeout(10_000).emitWithAck(name, message) as Promise<{ ok: boolean; code?: string }>;

/** Nothing can be waited for that must not come: what came after it shows that it did not. */
async function awaitOwnEvent(listening: Listening): Promise<void> {
  const made = await world.ours.admin.post("/leads", {
    lastName: "Later",
    assignedTo: world.ours.sales_rep.userId,
  });
  const { id } = made.body as { id: string };
  await eventually(() => listening.heard.some((text) => text.includes(id)));
}
const changeTheirs = () =>
  world.theirs.send("PATCH", `/leads/${foreignLead}`, { title: `${mark} ${Date.now()}` });

describe.each([...roles, "key"] as const)("a socket of %s", (caller) => {
  const join = () => connect(world.ours[caller]);

  test("hears nothing of another organization, from now on", async () => {
    const listening = await join();
    expect(await ask(listening, "subscribe", {})).toMatchObject({ ok: true });
    await changeTheirs();
    await awaitOwnEvent(listening);
    expect(listening.heard.join()).not.toContain(mark);
    expect(listening.heard.join()).not.toContain(world.theirs.organizationId);
  });
  test("hears nothing of another organization since the beginning", async () => {
    const listening = await join();
    expect(await ask(listening, "subscribe", { since: 0 })).toMatchObject({ ok: true });
    await awaitOwnEvent(listening);
    expect(listening.heard.join()).not.toContain(mark);
  });
  test.each([
    ["organizationId", () => world.theirs.organizationId],
    ["room", () => `organization:${world.theirs.organizationId}`],
    ["rooms", () => [world.theirs.organizationId]],
    ["userId", () => world.theirs.userId],
  ])("may not name %s when it subscribes", async (name, value) => {
    const listening = await join();
    expect(await ask(listening, "subscribe", { [name]: value() })).toMatchObject({ ok: false });
  });
  test.each(["join", "room", "subscribe:organization", "events", "leave"])(
    "knows no message %s",
    async (name) => {
      const listening = await join();
      listening.socket.emit(name, world.theirs.organizationId);
      await ask(listening, "subscribe", {});
      await changeTheirs();
      await awaitOwnEvent(listening);
      expect(listening.heard.join()).not.toContain(mark);
    },
  );
  test("sees nobody of another organization", async () => {
    const other = await connect(world.theirs);
    await ask(other, "presence", { status: "online" });
    const listening = await join();
    const answer = await ask(listening, "presence", {});
    expect(JSON.stringify(answer)).not.toContain(world.theirs.userId);
  });
  test("cannot write in a record of another organization", async () => {
    const listening = await join();
    const entity = { kind: "lead", id: foreignLead };
    expect(await ask(listening, "typing", { entity, isTyping: true })).toMatchObject({ ok: false });
  });
  test("cannot become another organization's by its token", async () => {
    const listening = await join();
    const answer = await ask(listening, "authenticate", { token: world.theirs.token as string });
    expect(answer).toMatchObject({ ok: false });
  });
});
