import { createSocket } from "node:dgram";
import { Resolver } from "node:dns/promises";
import { once } from "node:events";

/** A real name server on loopback, with answers that are not to be kept. */
export interface DnsServer {
  /** Names asked for, in order. */
  asked: string[];
  /** Addresses (IPv4) of a name: one list for each question, the last for all that follow. */
  answers: Map<string, string[][]>;
  /** TXT records of a name; `fails`: the server cannot tell. */
  texts: Map<string, string[] | "fails">;
  /** Where it listens, with its port. */
  address: string;
  /** Asks it. */
  resolve(host: string): Promise<string[]>;
  close(): void;
}

/** Starts a name server. Names without an answer do not exist. */
export async function startDnsServer(): Promise<DnsServer> {
  const socket = createSocket("udp4");
  const asked: string[] = [];
  const answers = new Map<string, string[][]>();
  const texts: DnsServer["texts"] = new Map();
  socket.on("message", (query, from) => {
    const { name, type, end } = questionOf(query);
    asked.push(name);
    if (type === txt) {
      const found = texts.get(name) ?? [];
      const records = found === "fails" ? found : found.map(textOf);
      socket.send(answerTo(query.subarray(0, end), txt, records), from.port, from.address);
      return;
    }
    const lists = answers.get(name) ?? [];
    const addresses = (lists.length > 1 ? lists.shift() : lists[0]) ?? [];
    const records = addresses.map((address) => Buffer.from(address.split(".").map(Number)));
    socket.send(answerTo(query.subarray(0, end), 1, records), from.port, from.address);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  const resolver = new Resolver({ timeout: 2_000, tries: 1 });
  const address = `127.0.0.1:${socket.address().port}`;
  resolver.setServers([address]);
  return {
    ...{ asked, answers, texts, address },
    resolve: (host) => resolver.resolve4(host),
    close: () => socket.close(),
  };
}

const txt = 16;

/** The name and type that are asked for, and where the question ends (RFC 1035, 4.1). */
function questionOf(query: Buffer): { name: string; type: number; end: number } {
  const labels: string[] = [];
  let at = 12;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join("."), type: query.readUInt16BE(at + 1), end: at + 5 };
}

/** As one character string (RFC 1035, 3.3.14). */
const textOf = (text: string): Buffer => Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]);

/** @param records the data of each; none: no such name; `fails`: SERVFAIL */
function answerTo(question: Buffer, type: number, records: Buffer[] | "fails"): Buffer {
  const head = Buffer.from(question);
  const count = records === "fails" ? 0 : records.length;
  head.writeUInt16BE(records === "fails" ? 0x8182 : count > 0 ? 0x8180 : 0x8183, 2);
  head.writeUInt16BE(count, 6);
  head.fill(0, 8, 12);
  if (records === "fails") return head;
  return Buffer.concat([
    head,
    ...records.flatMap((data) => [Buffer.from([0xc0, 12, 0, type, 0, 1, 0, 0, 0, 0, 0, data.length]), data]),
  ]);
}
