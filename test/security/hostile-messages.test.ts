import { beforeAll, expect, test } from "@jest/globals";
import { io, type Socket } from "socket.io-client";
import { clientMessages, type ClientMessage } from "../../services/gateway/realtime/realtime.messages.ts";
import { Client } from "../support/client.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";
import { jsonSchemaOf, placesOf } from "../support/wrong-values.ts";
import { hostileValues } from "./hostile.ts";

let node: TestNode;
let admin: Client;
beforeAll(async () => {
  node = await shareNode();
  admin = await new Client(originOf(node)).register("Messages");
});

async function connect(): Promise<Socket> {
  const socket = io(admin.origin, {
    auth: { token: admin.token },
    transports: ["websocket"],
    forceNew: true,
  });
  await new Promise<void>((done, fail) => {
    socket.on("connect", done);
    socket.on("connect_error", fail);
  });
  return socket;
}

interface Answer {
  ok: boolean;
  code?: string;
  message?: string;
}
const anId = "01890000-0000-7000-8000-000000000000";
const kinds = ["__proto__", "constructor", "to_string", "lead", "conversation", "x"];
const names = Object.keys(clientMessages) as ClientMessage[];

test.each(names)(
  "%s is acknowledged, whatever it holds, and never with a fault of the server",
  async (name) => {
    const messages = [
      ...placesOf(jsonSchemaOf(clientMessages[name])).flatMap((place) =>
        hostileValues.map((value) => place.holding(value)),
      ),
      ...kinds.map((kind) => ({ entity: { kind, id: anId }, isTyping: true })),
    ];
    // a socket may send twenty messages in a second
    const groups = Object.values(Object.groupBy(messages.entries(), ([index]) => Math.floor(index / 19)));
    for (const group of groups as [number, unknown][][]) {
      const socket = await connect();
      const answers = await Promise.all(
        group.map(([, message]) => socket.timeout(10_000).emitWithAck(name, message) as Promise<Answer>),
      );
      for (const [index, answer] of answers.entries()) {
        const fault = answer.code === "INTERNAL_ERROR" || (answer.message?.length ?? 0) > 4_000;
        if (fault || typeof answer.ok !== "boolean")
          expect({ sent: group[index]?.[1], answer }).toBeUndefined();
      }
      socket.disconnect();
    }
  },
);

test("arguments that are missing, too many or no acknowledgement break nothing", async () => {
  const socket = await connect();
  for (const name of names) {
    socket.emit(name);
    socket.emit(name, null, undefined, [], "x");
    socket.emit(name, Buffer.from([1, 2, 3]));
  }
  expect(await socket.timeout(10_000).emitWithAck("presence", {})).toMatchObject({
    ok: expect.any(Boolean) as unknown as boolean,
  });
  socket.disconnect();
});
