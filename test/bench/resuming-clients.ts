import { setTimeout as sleep } from "node:timers/promises";
import { ResumingClient, type Judgement } from "../support/resuming-client.ts";
import { answerAsks, machineMs } from "./crowd.ts";

/** Sockets of an organization that have seen its feed up to `since`. */
export interface Group {
  organizationId: string;
  tokens: string[];
  since: number;
}
/**
 * What the process is asked: to connect clients; to note that a fault comes now; how far they are since; what they saw, where
 * `expected` is the feed after `since` by organization.
 */
export type Ask =
  | { connect: { url: string; groups: Group[] } }
  | { fault: true }
  | { standing: true }
  | { report: { expected: Record<string, number[]> } };

/** How far the clients are that were disconnected; times by `machineMs`. */
export interface Standing {
  caughtUp: number;
  lastCaughtUpAt: number;
  /** The least that a client has seen, by organization. */
  least: Record<string, number>;
}
/** A value of each client: ms from its disconnect; and what all saw. */
export interface Report extends Judgement {
  connectedMs: number[];
  subscribedMs: number[];
  caughtUpMs: number[];
  /** By `machineMs`. */
  subscribedAt: number[];
  /** From an event's transaction to the client, the longest since the fault. */
  longestLagMs: number[];
  attempts: number;
  /** How often a server refused with each code, or nobody was reached and why. */
  refusals: Record<string, number>;
  events: number;
  /** Clients that missed or doubled something. */
  wrongClients: number;
}
export type Told = { ok: true } | Standing | Report;

const atOnce = 50;
/** What is added to performance.now() for `machineMs`. */
const sinceBoot = machineMs() - performance.now();
const refusals: Record<string, number> = {};
const clients: { organizationId: string; client: ResumingClient }[] = [];

async function connect({ url, groups }: Extract<Ask, { connect: unknown }>["connect"]): Promise<Told> {
  const onRefusal = (why: string) => (refusals[why] = (refusals[why] ?? 0) + 1);
  for (const { organizationId, tokens, since } of groups)
    for (let from = 0; from < tokens.length; from += atOnce) {
      const batch = tokens
        .slice(from, from + atOnce)
        .map((token) => new ResumingClient(url, { token, since, onRefusal }));
      clients.push(...batch.map((client) => ({ organizationId, client })));
      while (!batch.every(({ isSubscribed }) => isSubscribed)) await sleep(5);
    }
  return { ok: true };
}

function beginFault(): Told {
  for (const { client } of clients) client.longestLagMs = client.attempts = 0;
  for (const why of Object.keys(refusals)) delete refusals[why];
  return { ok: true };
}

function standing(): Standing {
  const least: Record<string, number> = {};
  let lastCaughtUpAt = 0;
  let caughtUp = 0;
  for (const { organizationId, client } of clients) {
    least[organizationId] = Math.min(least[organizationId] ?? Infinity, client.last);
    if (client.disconnects === 0 || !client.isCaughtUp) continue;
    caughtUp++;
    lastCaughtUpAt = Math.max(lastCaughtUpAt, sinceBoot + client.way.caughtUpAt);
  }
  return { caughtUp, lastCaughtUpAt, least };
}

function report(expected: Record<string, number[]>): Report {
  const judged = clients.map(({ organizationId, client }) => client.judge(expected[organizationId] ?? []));
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  const since = (name: "connectedAt" | "subscribedAt" | "caughtUpAt") =>
    clients.map(({ client: { way } }) => way[name] - way.disconnectedAt).filter(Number.isFinite);
  return {
    connectedMs: since("connectedAt"),
    subscribedMs: since("subscribedAt"),
    caughtUpMs: since("caughtUpAt"),
    subscribedAt: clients
      .filter(({ client }) => client.isSubscribed)
      .map(({ client }) => sinceBoot + client.way.subscribedAt),
    longestLagMs: clients.map(({ client }) => client.longestLagMs),
    attempts: sum(clients.map(({ client }) => client.attempts)),
    refusals,
    events: sum(clients.map(({ client }) => client.seqs.length)),
    missed: sum(judged.map(({ missed }) => missed)),
    doubled: sum(judged.map(({ doubled }) => doubled)),
    outOfOrder: sum(judged.map(({ outOfOrder }) => outOfOrder)),
    wrongClients: judged.filter(({ missed, doubled, outOfOrder }) => missed + doubled + outOfOrder > 0)
      .length,
  };
}

answerAsks<Ask, Told>((ask) => {
  if ("connect" in ask) return connect(ask.connect);
  if ("fault" in ask) return beginFault();
  if ("standing" in ask) return standing();
  return report(ask.report.expected);
});
