import { Redis } from "ioredis";
import { WebSocketServer, type WebSocket } from "ws";

// The least two servers of one room can do: what one of them hears goes to its sockets, and over Redis to the other's.
const channel = "room";
const port = Number(process.env.BARE_PORT);
const url = process.env.BARE_REDIS_URL ?? "";
const [publisher, subscriber] = [new Redis(url), new Redis(url)];
const server = new WebSocketServer({ port, host: "127.0.0.1", perMessageDeflate: false });
const name = String(port);

function deliver(text: string, sender?: WebSocket): void {
  for (const client of server.clients) if (client !== sender) client.send(text);
}
server.on("connection", (socket) => {
  socket.on("message", (message: Buffer) => {
    const text = message.toString();
    void publisher.publish(channel, `${name} ${text}`);
    deliver(text, socket);
  });
});
subscriber.on("message", (_channel, message: string) => {
  const [from] = message.split(" ", 1) as [string];
  if (from !== name) deliver(message.slice(from.length + 1));
});
await subscriber.subscribe(channel);
console.log("ready");
