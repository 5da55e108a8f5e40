import { lookup } from "node:dns/promises";
import { isIP, type LookupFunction } from "node:net";
import { pipeline } from "node:stream/promises";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";
import { Agent, buildConnector, request as send, type Dispatcher } from "undici";
import type { Outside, OutsideCall } from "./outside-call.ts";
import { OutsideStatusError, retryAfterMs } from "./outside-status.ts";
import { outboundRefused, responseTooLarge, responseUnreadable } from "./outbound.errors.ts";
import { bareHost, type OutboundPolicy } from "./policy.ts";

const mostRedirects = 3;
const megabyte = 1024 * 1024;
const redirects = new Set([301, 302, 303, 307, 308]);
/** What another origin may be told of a request that was meant for the first one. */
const harmlessHeaders = new Set(["accept", "accept-language", "content-type", "user-agent"]);
/** What frames a message or names its receiver is the connection's to say. */
const connectionHeaders =
  /^(host|connection|keep-alive|proxy-.*|content-length|transfer-encoding|te|trailer|upgrade|expect|accept-encoding)$/;
const decoders = { gzip: createGunzip, deflate: createInflate, br: createBrotliDecompress };

export interface OutboundOptions {
  /** Longest to resolve the name and connect, TLS included, in ms. Default 5,000. */
  connectTimeoutMs?: number;
  /** Longest wait for the head of an answer, in ms. Default 10,000. */
  headersTimeoutMs?: number;
  /** Longest pause within a body, in ms. Default 10,000. The whole is bounded by the timeout of its `Outside`. */
  bodyTimeoutMs?: number;
  /** Certificate authority to trust instead of the usual ones, in PEM. */
  ca?: string;
  /** Addresses of a name. Default the system's resolver. */
  resolve?: (host: string) => Promise<string[]>;
}

export interface OutboundRequest {
  /** Default GET. */
  method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  /** Names in any case. Those that frame the message, such as Host, are refused. */
  headers?: Record<string, string>;
  body?: string | Buffer;
  /** Largest body of the answer, as it travels and once decompressed. Default 1 MiB. */
  maxBytes?: number;
  /** Default 3, and never more. */
  mostRedirects?: number;
}

export interface OutboundResponse {
  /** 200 to 299. */
  status: number;
  /** Names in lower case. */
  headers: Readonly<Record<string, string | string[] | undefined>>;
  body: Buffer;
  /** Where the answer came from, after redirects. */
  url: string;
}

/**
 * Calls URLs that users name (webhooks, documents, integrations) without letting them reach into the network that
 * Sangam runs in. The policy is applied to each URL of a chain of redirects, to every address its name resolves
 * to, and to the address of the socket; the addresses that were checked are the ones that are dialled, so a name
 * that changes its answer gains nothing.
 */
export class OutboundHttp {
  readonly #policy: OutboundPolicy;
  readonly #agent: Agent;

  constructor(policy: OutboundPolicy, options: OutboundOptions = {}) {
    this.#policy = policy;
    this.#agent = new Agent({
      connect: guardedConnector(policy, options),
      headersTimeout: options.headersTimeoutMs ?? 10_000,
      bodyTimeout: options.bodyTimeoutMs ?? 10_000,
      allowH2: false,
    });
  }

  /**
   * Sends a request under the protection of `outside`, following redirects.
   * @throws 422 OUTBOUND_REFUSED with `reason`, 502 OUTBOUND_RESPONSE_TOO_LARGE or _UNREADABLE, and as
   *   Outside.call does: OutsideStatusError for a status below 500 that is not 2xx, 503 OUTSIDE_UNAVAILABLE, 504
   *   OUTSIDE_TIMEOUT
   */
  async request(
    outside: Outside,
    url: string,
    request: OutboundRequest = {},
    call: OutsideCall = {},
  ): Promise<OutboundResponse> {
    if (Object.keys(request.headers ?? {}).some((name) => connectionHeaders.test(name.toLowerCase())))
      throw outboundRefused("headers");
    const first = this.#policy.parse(url);
    return outside.call((signal) => this.#follow(first, request, signal), call);
  }

  /** Ends connections, also those in use. */
  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #follow(first: URL, request: OutboundRequest, signal: AbortSignal): Promise<OutboundResponse> {
    const limit = Math.min(request.mostRedirects ?? mostRedirects, mostRedirects);
    let url = first;
    let { method = "GET", body } = request;
    let headers = lowerCased(request.headers ?? {});
    for (let count = 0; ; count++) {
      const answer = await send(url, {
        ...{ dispatcher: this.#agent, method, body, signal },
        headers: { "user-agent": "Sangam", ...headers, "accept-encoding": "gzip, deflate, br" },
      });
      const next = redirects.has(answer.statusCode) ? headerOf(answer, "location") : undefined;
      if (next === undefined) return await readAnswer(answer, url, method, request.maxBytes ?? megabyte);
      drop(answer);
      if (count >= limit) throw outboundRefused("too_many_redirects");
      const from = url;
      url = this.#policy.parse(URL.parse(next, from.href)?.href ?? "");
      if (from.protocol === "https:" && url.protocol === "http:") throw outboundRefused("downgrade");
      if (turnsIntoGet(answer.statusCode, method)) {
        method = "GET";
        body = undefined;
        delete headers["content-type"];
      }
      if (url.origin !== from.origin)
        headers = Object.fromEntries(Object.entries(headers).filter(([name]) => harmlessHeaders.has(name)));
    }
  }
}

function guardedConnector(policy: OutboundPolicy, options: OutboundOptions): buildConnector.connector {
  const resolve = options.resolve ?? resolveBySystem;
  const connectorFor = (portClass: number) =>
    buildConnector({
      timeout: options.connectTimeoutMs ?? 5_000,
      allowH2: false,
      lookup: guardedLookup(resolve, (host, address) => policy.isPermitted(host, portClass, address)),
      ...(options.ca !== undefined && { ca: options.ca }),
    });
  // a lookup is not told the port; for the policy, all that are not usual are alike
  const usual = connectorFor(443);
  const other = connectorFor(0);
  return (target, callback) => {
    const host = bareHost(target.hostname);
    const port = Number(target.port || (target.protocol === "https:" ? 443 : 80));
    const isPermitted = (address: string) => policy.isPermitted(host, port, address);
    // an address is dialled without a lookup
    if (isIP(host) !== 0 && !isPermitted(host)) return callback(outboundRefused("host"), null);
    const connect = port === 80 || port === 443 ? usual : other;
    connect(target, (...[error, socket]) => {
      if (error) return callback(error, null);
      if (isPermitted(socket.remoteAddress ?? "")) return callback(null, socket);
      socket.destroy();
      callback(outboundRefused("host"), null);
    });
  };
}

/**
 * A lookup for sockets that fails when any of a name's addresses is forbidden: which one is dialled is not in our
 * hand.
 */
function guardedLookup(
  resolve: (host: string) => Promise<string[]>,
  isPermitted: (host: string, address: string) => boolean,
): LookupFunction {
  return (host, { all }, callback) => {
    resolve(host).then(
      (addresses) => {
        const [first] = addresses;
        if (first === undefined) callback(new Error("The name has no address"), []);
        else if (!addresses.every((address) => isPermitted(host, address)))
          callback(outboundRefused("host") as unknown as NodeJS.ErrnoException, []);
        else if (all)
          callback(
            null,
            addresses.map((address) => ({ address, family: isIP(address) })),
          );
        else callback(null, first, isIP(first));
      },
      (error: NodeJS.ErrnoException) => callback(error, []),
    );
  };
}

const resolveBySystem = async (host: string): Promise<string[]> =>
  (await lookup(host, { all: true })).map(({ address }) => address);

async function readAnswer(
  answer: Dispatcher.ResponseData,
  url: URL,
  method: string,
  maxBytes: number,
): Promise<OutboundResponse> {
  const { statusCode: status, headers } = answer;
  if (status < 200 || status > 299) {
    drop(answer);
    throw new OutsideStatusError(status, retryAfterMs(headerOf(answer, "retry-after") ?? null));
  }
  const body = method === "HEAD" ? (drop(answer), Buffer.alloc(0)) : await readBody(answer, maxBytes);
  return { status, headers, body, url: url.href };
}

/** The body, decompressed; neither what travels nor what comes of it may exceed `maxBytes`. */
async function readBody(answer: Dispatcher.ResponseData, maxBytes: number): Promise<Buffer> {
  const encoding = headerOf(answer, "content-encoding")?.trim().toLowerCase() ?? "identity";
  const decoder = Object.hasOwn(decoders, encoding)
    ? decoders[encoding as keyof typeof decoders]()
    : undefined;
  const isTooLarge = Number(headerOf(answer, "content-length") ?? 0) > maxBytes;
  if (isTooLarge || (!decoder && encoding !== "identity")) {
    drop(answer);
    decoder?.destroy();
    throw isTooLarge ? responseTooLarge(maxBytes) : responseUnreadable();
  }
  const chunks: Buffer[] = [];
  const capped = async function* (source: AsyncIterable<Buffer>) {
    let size = 0;
    for await (const chunk of source) {
      size += chunk.length;
      if (size > maxBytes) throw responseTooLarge(maxBytes);
      yield chunk;
    }
  };
  const collect = async (source: AsyncIterable<Buffer>) => {
    for await (const chunk of capped(source)) chunks.push(chunk);
  };
  try {
    if (decoder) await pipeline(answer.body, capped, decoder, collect);
    else await pipeline(answer.body, collect);
  } catch (error) {
    throw isZlibError(error) ? responseUnreadable() : error;
  }
  return Buffer.concat(chunks);
}

const isZlibError = (error: unknown): boolean =>
  /^(Z_|ERR__|ERR_BROTLI)/.test(String((error as { code?: unknown }).code));

/** Ends the connection of an answer whose body nobody wants. */
function drop({ body }: Dispatcher.ResponseData): void {
  body.on("error", () => undefined).destroy();
}

function headerOf({ headers }: Dispatcher.ResponseData, name: string): string | undefined {
  const value = headers[name];
  return Array.isArray(value) ? value.join(", ") : value;
}

const lowerCased = (headers: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

/** As browsers do (Fetch standard, HTTP-redirect fetch, step 12). */
const turnsIntoGet = (status: number, method: string): boolean =>
  (status === 303 && method !== "GET" && method !== "HEAD")
  || ((status === 301 || status === 302) && method === "POST");
