import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";

/** A real name server on loopback, with answers that are not to be kept. */
export interface DnsServer {
  /** Names asked for, in order. */
  asked: string[];
  /** Addresses (IPv4) of a name: one list for each question, the last for all that follow. */
  answers: Map<string, string[][]>;
  /** Asks it. */
  resolve(host: string): Promise<string[]>;
  close(): void;
}

/** Starts a name server. Names without an answer do not exist. */
export async function startDnsServer(): Promise<DnsServer> {
  const socket = createSocket("udp4");
  const asked: string[] = [];
  const answers = new Map<string, string[][]>();
  socket.on("message", (query, from) => {
    const { name, end } = questionOf(query);
    asked.push(name);
    const lists = answers.get(name) ?? [];
    const addresses = (lists.length > 1 ? lists.shift() : lists[0]) ?? [];
    socket.send(answerTo(query.subarray(0, end), addresses), from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const resolver = new Resolver({ timeout: 2_000, tries: 1 });
  resolver.setServers([`127.0.0.1:${socket.address().port}`]);
  return { asked, answers, resolve: (host) => resolver.resolve4(host), close: () => socket.close() };
}

/** The name that is asked for, and where the question ends (RFC 1035, 4.1). */
function questionOf(query: Buffer): { name: string; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join("."), end: at + 5 };
}

function answerTo(question: Buffer, addresses: string[]): Buffer {
  const head = Buffer.from(question);
  head.writeUInt16BE(addresses.length > 0 ? 0x8180 : 0x8183, 2);
  head.writeUInt16BE(addresses.length, 6);
  head.fill(0, 8, 12);
  const records = addresses.map((address) =>
    Buffer.from([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, ...address.split(".").map(Number)]),
  );
  return Buffer.concat([head, ...records]);
}
