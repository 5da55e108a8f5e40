import { once } from "node:events";
import type { Socket } from "node:net";
import pg, { type CustomTypesConfig, type Pool, type PoolClient } from "pg";
import { FairTurns } from "../concurrency/fair-turns.ts";
import { within } from "../concurrency/within.ts";
import { appError, reasonOf } from "../contract/errors.ts";

/** Longest wait for a connection: for a new one to open, or for a busy one to come free. */
const connectTimeoutMs = 10_000;
/** Longest a statement may run; PostgreSQL ends it then. */
const statementTimeoutMs = 30_000;
/** Calls that may wait for a connection, for each connection of the pool: a burst of many is served, not refused. */
const mostWaitingPerConnection = 256;
/** As above, of one organization. */
const mostWaitingOfOnePerConnection = 64;
/** Of a pool's connections, what one organization may hold: whatever it asks for, others find one. */
const shareOfOne = 0.75;
/** Of one organization, waiting calls that count towards a long line, for each connection. */
const countedOfOnePerConnection = 16;
/** From so many on, for each connection, the line is long: if it stays so, gateways let less in. */
const longLinePerConnection = 32;

/**
 * A pool of pipelining connections that never waits without end: for a connection, for a statement, or for the
 * answer of a server that is gone without a word.
 * @param options.onError hears of every connection that is lost
 * @param options.silenceTimeoutMs a connection in use that is silent for longer is dead; default 33,000, when PostgreSQL
 *   would have ended the statement
 * @param options.restTimeoutMs a transaction that rests for longer between statements is ended, for others wait for what it has
 *   locked, and its process may have been stopped; default 10,000
 */
export function openPool(
  url: string,
  options: {
    size: number;
    types: CustomTypesConfig;
    onError: (error: Error) => void;
    silenceTimeoutMs?: number;
    restTimeoutMs?: number;
  },
): Pool {
  const { silenceTimeoutMs = statementTimeoutMs + 3_000, restTimeoutMs = 10_000 } = options;
  const pool = new pg.Pool({
    connectionString: url,
    max: options.size,
    pipeline: true,
    types: options.types,
    connectionTimeoutMillis: connectTimeoutMs,
    idleTimeoutMillis: 60_000,
    statement_timeout: statementTimeoutMs,
    idle_in_transaction_session_timeout: restTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    application_name: "sangam",
  });
  pool.on("error", options.onError);
  const sockets = new Set<Socket>();
  openSockets.set(pool, sockets);
  const inUse = new WeakSet<PoolClient>();
  pool.on("acquire", (client) => void inUse.add(client));
  pool.on("release", (_error, client) => {
    inUse.delete(client);
    const turn = turnOf.get(client);
    turnOf.delete(client);
    if (turn) turnsOf(pool).leave(turn.holder);
  });
  pool.on("connect", (client) => {
    client.on("error", options.onError);
    const { stream } = (client as unknown as { connection: { stream: Socket } }).connection;
    sockets.add(stream);
    stream.once("close", () => sockets.delete(stream));
    // the socket's own idle timer: a timer for each round trip would cost on every one
    stream.setTimeout(silenceTimeoutMs, () => {
      if (inUse.has(client)) stream.destroy(new Error(`no answer for ${silenceTimeoutMs} ms`));
    });
  });
  return pool;
}

const turns = new WeakMap<Pool, FairTurns>();
/** For whom a connection is in use. */
const turnOf = new WeakMap<PoolClient, { holder: string | undefined }>();

function turnsOf(pool: Pool): FairTurns {
  let own = turns.get(pool);
  if (!own) {
    const { max } = pool.options;
    own = new FairTurns({
      places: max,
      share: Math.max(1, Math.floor(max * shareOfOne)),
      mostWaiting: max * mostWaitingPerConnection,
      mostWaitingOfOne: max * mostWaitingOfOnePerConnection,
      patienceMs: connectTimeoutMs,
      tooMany: busy,
    });
    turns.set(pool, own);
  }
  return own;
}

const openSockets = new WeakMap<Pool, ReadonlySet<Socket>>();
/** Longest that the server is waited for to say goodbye. */
const farewellMs = 1_000;

/**
 * Ends a pool, once its connections have closed too: pg says that it has ended when it has only told the server so, and a
 * server that is stopped then would report each as lost.
 */
export async function closePool(pool: Pool): Promise<void> {
  await pool.end();
  const closing = [...(openSockets.get(pool) ?? [])].filter((socket) => !socket.closed);
  await within(farewellMs, Promise.all(closing.map((socket) => once(socket, "close"))), () => undefined);
}

/**
 * A connection of the pool.
 * @param organizationId on whose behalf; it has no more than its share of the pool. Undefined: the system's own work
 * @throws 503 DATABASE_BUSY when too many wait already or one comes free too late, DATABASE_UNAVAILABLE when none opens
 */
export async function takeConnection(pool: Pool, organizationId?: string): Promise<PoolClient> {
  const own = turnsOf(pool);
  const waiting = own.enter(organizationId);
  if (waiting) await waiting;
  try {
    const client = await pool.connect();
    turnOf.set(client, { holder: organizationId });
    return client;
  } catch (error) {
    own.leave(organizationId);
    if ((error as Error).message.startsWith("timeout exceeded")) throw busy();
    throw isConnectionLoss(error) ? unavailable(error) : error;
  }
}

/** How long the line for connections is: 0 nobody waits, 1 it is too long to last. */
export const pressureOf = (pool: Pool): number => {
  const { max } = pool.options;
  return turnsOf(pool).waiting(max * countedOfOnePerConnection) / (max * longLinePerConnection);
};

export const busy = () =>
  appError(503, "DATABASE_BUSY", "The database is busy; try again in a moment.", { retryAfterSeconds: 1 });
/** @param cause for the log */
export const unavailable = (cause?: unknown) =>
  appError(503, "DATABASE_UNAVAILABLE", "The database is not available; try again.", {
    retryAfterSeconds: 2,
    ...(cause === undefined ? {} : { cause: reasonOf(cause) }),
  });
/** For a read that was ended because it took longer than reads may. */
export const tooSlow = (ms: number) =>
  appError(
    503,
    "QUERY_TOO_SLOW",
    `This was ended after ${ms / 1000} s. Narrow it: filter by a field with an index (status, assignedTo, email, phone, externalId, createdAt), `
      + "use a shorter span of time, and leave count out.",
    { retryAfterSeconds: 5 },
  );
/** For a connection that was lost while COMMIT was on its way. @param cause for the log */
export const outcomeUnknown = (cause?: unknown) =>
  appError(
    503,
    "OUTCOME_UNKNOWN",
    "The connection was lost while the change was saved, so it may or may not have been. Repeat the request with the same Idempotency-Key.",
    { retryAfterSeconds: 2, ...(cause === undefined ? {} : { cause: reasonOf(cause) }) },
  );

const lostCodes = new Set([
  ...["ECONNREFUSED", "ECONNRESET", "EPIPE", "ETIMEDOUT", "EHOSTUNREACH", "ENETUNREACH", "ENOTFOUND"],
  // too many connections; ended by an administrator, a crash, or while the server starts; its database dropped; idle, idle
  // inside a transaction, or in one for too long
  ...["53300", "57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04"],
]);

/** Whether an error means that the connection to PostgreSQL is gone, or never came to be. */
export function isConnectionLoss(error: unknown): boolean {
  const { code, message } = (error ?? {}) as { code?: unknown; message?: string };
  return (
    (typeof code === "string" && (lostCodes.has(code) || /^08...$/.test(code)))
    // pg has no codes for these
    || /^(Connection terminated|Client (has encountered a connection error|was closed)|no answer for)/.test(
      message ?? "",
    )
  );
}
