import WebSocket from "ws";
import { answerAsks, machineMs } from "./crowd.ts";

/** What the process is asked to do: connect sockets, or report and forget what they heard. */
export type Ask =
  { connect: { url: string; tokens: string[]; subscribe: boolean; plain: boolean }[] } | { report: true };
/**
 * Answer to `connect`: how many are connected. To `report`: when each message with this mark was heard, and for events
 * the milliseconds since they occurred.
 */
export type Told = { connected: number } | { heard: [mark: string, atMs: number[]][]; lags: number[] };

const heard = new Map<string, number[]>();
let lags: number[] = [];
const markPattern = /"entity":\{"kind":"lead","id":"([0-9a-f-]{36})"/;

/** A Socket.IO client that does nothing but count, so that thousands fit into a process. */
function connect(url: string, token: string, subscribe: boolean): Promise<void> {
  return new Promise((done, fail) => {
    const socket = new WebSocket(`${url.replace("http", "ws")}/socket.io/?EIO=4&transport=websocket`, {
      perMessageDeflate: false,
    });
    socket.once("error", fail);
    socket.once("close", () => fail(new Error("closed")));
    socket.on("message", (message: Buffer) => {
      const text = message.toString();
      if (text.startsWith("0")) socket.send(`40${JSON.stringify({ token })}`);
      else if (text.startsWith("2")) socket.send("3");
      else if (text.startsWith("44")) fail(new Error(text));
      else if (text.startsWith("40")) {
        if (subscribe) socket.send(`420["subscribe",{}]`);
        else done();
      } else if (text.startsWith("430")) done();
      else listen(text);
    });
  });
}

/** As `connect`, at a bare `ws` server. */
function connectPlain(url: string): Promise<void> {
  return new Promise((done, fail) => {
    const socket = new WebSocket(url.replace("http", "ws"), { perMessageDeflate: false });
    socket.once("error", fail);
    socket.once("open", () => done());
    socket.on("message", (message: Buffer) => listen(message.toString()));
  });
}

function listen(text: string): void {
  const now = machineMs();
  const occurredAt = /"occurredAt":"([^"]+)"/.exec(text)?.[1];
  if (occurredAt !== undefined) lags.push(Date.now() - Date.parse(occurredAt));
  const mark = markPattern.exec(text)?.[1];
  if (mark === undefined) return;
  const times = heard.get(mark);
  if (times) times.push(now);
  else heard.set(mark, [now]);
}

const atOnce = 50;
async function run(ask: Ask): Promise<Told> {
  if ("report" in ask) {
    const told = { heard: [...heard], lags };
    heard.clear();
    lags = [];
    return told;
  }
  let connected = 0;
  for (const { url, tokens, subscribe, plain } of ask.connect)
    for (let from = 0; from < tokens.length; from += atOnce) {
      const batch = tokens.slice(from, from + atOnce);
      await Promise.all(batch.map((token) => (plain ? connectPlain(url) : connect(url, token, subscribe))));
      connected += batch.length;
    }
  return { connected };
}

answerAsks(run);
