import { isIP } from "node:net";
import { hostname } from "node:os";
import { z } from "zod";
import { oidcProviders, type OidcProvider } from "./oidc-providers.ts";
import { isLoopbackHost } from "./loopback.ts";
import { parseAllowEntry } from "../outbound/address.ts";

const url = (...protocols: string[]) =>
  z.string().refine(
    (value) => {
      try {
        return protocols.includes(new URL(value).protocol);
      } catch {
        return false;
      }
    },
    { message: `must be a URL starting with ${protocols.map((p) => `${p}//`).join(" or ")}` },
  );
const list = <T extends z.ZodType<unknown, string>>(item: T) =>
  z
    .string()
    .transform((text) =>
      text
        .split(",")
        .map((part) => part.trim())
        .filter((part) => part !== ""),
    )
    .pipe(z.array(item).min(1));
const port = z.coerce.number().int().min(0).max(65535);
const flag = z.enum(["true", "false"]).transform((text) => text === "true");
const masterKey = z.string().refine((text) => Buffer.from(text, "base64").length === 32, {
  message: "must be 32 bytes in base64 (openssl rand -base64 32)",
});

const allowEntry = z.string().refine((text) => parseAllowEntry(text) !== undefined, {
  message: "must list addresses, networks (10.1.0.0/16) or host names (hooks.corp.internal, *.corp.internal)",
});

/** One setting: how it is validated, its default and what it means. `.env.example` is printed from this table. */
interface Variable<S extends z.ZodType = z.ZodType> {
  schema: S;
  example: string;
  doc: string;
  /** Complaints then do not repeat its value. */
  isSecret?: boolean;
}
const variable = <S extends z.ZodType>(schema: S, example: string, doc: string): Variable<S> => ({
  schema,
  example,
  doc,
});
const secret = <S extends z.ZodType>(schema: S, doc: string): Variable<S> => ({
  ...variable(schema, "", doc),
  isSecret: true,
});

export const variables = {
  HOST: variable(
    z.string().optional(),
    "127.0.0.1",
    "Address the gateway listens on. Default 127.0.0.1 embedded, 0.0.0.0 with DATABASE_URL.",
  ),
  PORT: variable(port.default(3000), "3000", "Port of REST, WebSocket and docs. 0 takes a free one."),
  METRICS_PORT: variable(
    port.default(9464),
    "9464",
    "Port of /metrics and /health/* of every process. 0 takes a free one.",
  ),
  DATA_DIR: variable(
    z.string().default("./.data"),
    "./.data",
    "Folder of the embedded PostgreSQL and its keys.",
  ),
  DATABASE_URL: variable(
    url("postgres:", "postgresql:").optional(),
    "",
    "PostgreSQL that holds the control tables and the first shard; its user owns the schema. Unset: an embedded server.",
  ),
  DATABASE_SHARDS: variable(
    list(url("postgres:", "postgresql:")).optional(),
    "",
    "Further shard databases, comma separated. Order matters: append only.",
  ),
  DATABASE_APP_URLS: secret(
    list(url("postgres:", "postgresql:")).optional(),
    "DATABASE_URL and DATABASE_SHARDS, in their order, as a user who owns nothing; see docs/operations.md. Unset: migrations make the role sangam_login, with a password derived from the owner's. With MIGRATE=manual a process needs no other address.",
  ),
  DATABASE_POOL_SIZE: variable(
    z.coerce.number().int().min(1).max(200).default(8),
    "8",
    "Connections of one process to each database.",
  ),
  MIGRATE: variable(
    z.enum(["start", "manual"]).default("start"),
    "start",
    "start: each process brings the databases up to date when it starts. manual: it only looks, and npm run migrate does.",
  ),
  ACCEPT_NEWER_SCHEMA: variable(
    flag.default(false),
    "false",
    "Start on databases that a later release has migrated, if none of what it did is breaking: the way back to this release.",
  ),
  LOGICAL_SHARDS: variable(
    z.coerce.number().int().min(1).max(256).default(16),
    "16",
    "Logical shards; fixed when the control database is first made.",
  ),
  NATS_URL: variable(
    url("nats:", "tls:").optional(),
    "",
    "NATS server that joins the nodes of a cluster. Unset: one process.",
  ),
  REDIS_URL: variable(
    list(url("redis:", "rediss:")).optional(),
    "",
    "Redis 7 or newer that gateways share counters, presence and caches through: one URL is a single server, a comma list a Redis Cluster. Unset: each process for itself.",
  ),
  NAMESPACE: variable(
    z
      .string()
      .regex(/^[a-z0-9-]*$/, "may hold a-z, 0-9 and -")
      .default(""),
    "",
    "Separates clusters that share one NATS server or Redis.",
  ),
  JETSTREAM_MIRROR: variable(
    flag.default(false),
    "false",
    "Publish every event to the JetStream stream crm of NATS_URL, for programs outside. The same on all nodes.",
  ),
  MASTER_KEY: secret(
    list(masterKey).optional(),
    "32 random bytes in base64, newest first (openssl rand -base64 32). Made and kept in DATA_DIR when embedded.",
  ),
  SIGNING_KEY_DAYS: variable(
    z.coerce.number().int().min(1).max(3_650).default(30),
    "30",
    "Days after which access tokens are signed with a new key. The old one verifies what it signed.",
  ),
  SERVICES: variable(
    list(z.string()).optional(),
    "",
    "Roles (gateway, core, worker, cron) or services this process hosts; service:gateway is the gateway alone, -cron takes one away. Unset: all.",
  ),
  NODE_ID: variable(
    z
      .string()
      .regex(/^[\w.-]+$/, "may hold letters, digits, . _ and -")
      .optional(),
    "",
    "Unique name of this process in the cluster. Default: host name and process id.",
  ),
  PUBLIC_URL: variable(
    url("http:", "https:")
      .transform((text) => text.replace(/\/+$/, ""))
      .optional(),
    "http://localhost:3000",
    "Where users open the app; mails link to /reset-password, /verify-email and /accept-invite under it. Default http://localhost with PORT.",
  ),
  CORS_ORIGINS: variable(
    list(url("http:", "https:")).optional(),
    "",
    "Origins, besides PUBLIC_URL's, whose pages may call the API from a browser: https://app.example.com, … Set, requests from pages elsewhere are refused. Unset: browsers keep other origins from reading answers.",
  ),
  SMTP_URL: variable(
    url("smtp:", "smtps:").optional(),
    "",
    "Mail server, with user and password if it asks for them. Unset: mails are kept or, without DEV_OUTBOX, fail.",
  ),
  MAIL_FROM: variable(
    z.string().min(1).default("Sangam <no-reply@localhost>"),
    "Sangam <no-reply@example.com>",
    "Sender of mails.",
  ),
  DEV_OUTBOX: variable(
    flag.optional(),
    "false",
    "Without SMTP_URL: keep mails, and show them at /dev/outbox to callers on the gateway's machine. Never in production: they hold links that sign in. Default true embedded while HOST, PUBLIC_URL and API_URL are all of the loopback, else false.",
  ),
  API_URL: variable(
    url("http:", "https:")
      .transform((text) => text.replace(/\/+$/, ""))
      .optional(),
    "",
    "Where browsers reach the gateway; providers of sign-in lead back to /api/v1/auth under it. Default PUBLIC_URL.",
  ),
  SIGN_IN_REDIRECTS: variable(
    list(url("http:", "https:").transform((text) => new URL(text).origin)).optional(),
    "",
    "Origins of front ends that a sign-in with a provider may return to, besides that of PUBLIC_URL.",
  ),
  GOOGLE_CLIENT_ID: variable(
    z.string().optional(),
    "",
    "OAuth client of Google, whose redirect URI is /api/v1/auth/oauth/google/callback under API_URL. Unset: no sign-in with Google.",
  ),
  GOOGLE_CLIENT_SECRET: secret(z.string().optional(), "Secret of GOOGLE_CLIENT_ID."),
  OIDC_PROVIDERS: secret(
    oidcProviders.default([]),
    'Further OpenID Connect providers, a JSON array of {"key","issuer","clientId","clientSecret","label","emailDomains"?,"isMfaTrusted"?}; see docs/security-identity.md.',
  ),
  REGISTRATION: variable(
    z.enum(["open", "closed"]).default("open"),
    "open",
    "Whether strangers may register an organization.",
  ),
  EVENTS_RETENTION_DAYS: variable(
    z.coerce.number().int().min(1).max(36_500).default(400),
    "400",
    "Events older than this are dropped, a month at a time: timelines and the feed reach back that far.",
  ),
  TRUST_PROXY: variable(
    flag.default(false),
    "false",
    "Whether a proxy in front sets X-Forwarded-For; its last entry is then the client's address.",
  ),
  RATE_LIMIT_PER_MINUTE: variable(
    z.coerce.number().int().min(1).default(100),
    "100",
    "Requests a user may make in a minute; public routes: an address. Counted by all gateways together with REDIS_URL, else by each.",
  ),
  RATE_LIMIT_PER_MINUTE_ORGANIZATION: variable(
    z.coerce.number().int().min(1).optional(),
    "3000",
    "Requests all users of an organization may make together in a minute. Default 30 times RATE_LIMIT_PER_MINUTE.",
  ),
  OUTBOUND_ALLOW: variable(
    list(allowEntry).optional(),
    "",
    "What users' hooks may call beyond the public Internet, on any port: addresses, networks, host names (a name: whatever it resolves to). Default nothing.",
  ),
  DNS_SERVERS: variable(
    list(
      z.string().refine((text) => isIP(text.replace(/:\d{1,5}$/, "")) !== 0 || isIP(text) !== 0, {
        message: "must list addresses of name servers, such as 10.0.0.2 or 127.0.0.1:5353",
      }),
    ).optional(),
    "",
    "Name servers asked for the TXT records that prove organizations' domains. Unset: those of the system.",
  ),
  MAX_IN_FLIGHT: variable(
    z.coerce.number().int().min(1).max(100_000).default(1_500),
    "1500",
    "Requests a gateway process works on at once, in a burst; beyond that it answers 503 OVERLOADED. It lowers the limit itself while it is overloaded.",
  ),
  DRAIN_SECONDS: variable(
    z.coerce.number().min(0).max(15).optional(),
    "5",
    "How long a gateway that stops leaves idle connections open; longer than the proxy in front keeps them. Default 0 embedded, 5 with DATABASE_URL.",
  ),
  SEED_DEMO: variable(
    flag.optional(),
    "true",
    "Make the demo organization at start. Default true embedded, false with DATABASE_URL.",
  ),
  CHECK_RESULTS: variable(
    z.enum(["always", "sampled", "never"]).default("sampled"),
    "sampled",
    "Validate what actions answer against their contract: every call, one in 100, or none.",
  ),
  REQUEST_LOG: variable(
    z.enum(["off", "errors", "sampled", "all"]).default("errors"),
    "errors",
    "Requests that get a line in the log, at level info: none, those that failed (4xx, 5xx) or took a second, one in 100 of the others too, or all. Of those refused by a limit (429, 503) one in 100, unless all.",
  ),
  LOG_LEVEL: variable(
    z.enum(["fatal", "error", "warn", "info", "debug", "trace"]).default("info"),
    "info",
    "Lowest level written to the log (JSON lines on standard output).",
  ),
} satisfies Record<string, Variable>;

export type Env = { [K in keyof typeof variables]: z.output<(typeof variables)[K]["schema"]> } & {
  HOST: string;
  NODE_ID: string;
  DRAIN_SECONDS: number;
  RATE_LIMIT_PER_MINUTE_ORGANIZATION: number;
  SEED_DEMO: boolean;
  DEV_OUTBOX: boolean;
  PUBLIC_URL: string;
  API_URL: string;
};

/**
 * Validates the environment. Empty strings count as unset.
 * @throws Error whose message names each bad variable, one a line
 */
export function readEnv(source: Record<string, string | undefined>): Env {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [name, { schema, isSecret }] of Object.entries<Variable>(variables)) {
    const parsed = schema.safeParse(source[name] === "" ? undefined : source[name]);
    if (parsed.success) values[name] = parsed.data;
    else
      problems.push(
        ...parsed.error.issues.map(({ path, message }) => {
          const value = shownValue(source[name] ?? "", isSecret);
          return `${name}=${isSecret ? [value, ...path].join(".") : value}: ${message}`;
        }),
      );
  }
  if ((values.GOOGLE_CLIENT_ID === undefined) !== (values.GOOGLE_CLIENT_SECRET === undefined))
    problems.push("GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET must be set together");
  if ((values.OIDC_PROVIDERS as OidcProvider[] | undefined)?.some(({ key }) => key === "google"))
    problems.push("OIDC_PROVIDERS: the key google belongs to GOOGLE_CLIENT_ID");
  const appUrls = values.DATABASE_APP_URLS as string[] | undefined;
  if (appUrls && values.DATABASE_URL === undefined) {
    if (values.MIGRATE !== "manual")
      problems.push("DATABASE_URL must be set beside DATABASE_APP_URLS, or MIGRATE=manual");
    [values.DATABASE_URL] = appUrls;
    values.DATABASE_SHARDS = appUrls.slice(1);
  }
  if (appUrls && appUrls.length !== 1 + ((values.DATABASE_SHARDS as string[] | undefined)?.length ?? 0))
    problems.push(
      "DATABASE_APP_URLS must list as many addresses as DATABASE_URL and DATABASE_SHARDS together",
    );
  if (values.DATABASE_URL !== undefined && values.MASTER_KEY === undefined && problems.length === 0)
    problems.push("MASTER_KEY must be set when DATABASE_URL is (openssl rand -base64 32)");
  if (problems.length > 0) throw new Error(`Bad settings:\n  ${problems.join("\n  ")}`);
  const isEmbedded = values.DATABASE_URL === undefined;
  values.HOST ??= isEmbedded ? "127.0.0.1" : "0.0.0.0";
  values.DRAIN_SECONDS ??= isEmbedded ? 0 : 5;
  values.SEED_DEMO ??= isEmbedded;
  values.PUBLIC_URL ??= `http://localhost:${values.PORT as number}`;
  values.API_URL ??= values.PUBLIC_URL;
  // a proxy on this machine makes callers from everywhere look like callers from here: only the addresses tell
  values.DEV_OUTBOX ??=
    isEmbedded
    && isLoopbackHost(values.HOST as string)
    && [values.PUBLIC_URL, values.API_URL].every((text) => isLoopbackHost(new URL(text as string).hostname));
  values.RATE_LIMIT_PER_MINUTE_ORGANIZATION ??= 30 * (values.RATE_LIMIT_PER_MINUTE as number);
  values.NODE_ID ??= `${hostname()}-${process.pid}`;
  return values as Env;
}

/** A setting as it may be shown: of a URL, who signs in with what is left out. */
const shownValue = (text: string, isSecret = false): string =>
  isSecret
    ? "(hidden)"
    : text.replace(/:\/\/[^\s,]*@/g, "://(hidden)@").replace(/([?&]password=)[^&\s,]*/gi, "$1(hidden)");

/**
 * Takes what is secret of our settings out of an environment that has been read: Moleculer's REPL prints all of it, and programs
 * that are started get it.
 */
export function hideSecrets(environment: Record<string, string | undefined>): void {
  for (const [name, { isSecret }] of Object.entries<Variable>(variables)) {
    const value = environment[name];
    if (value !== undefined && value !== "") environment[name] = shownValue(value, isSecret);
  }
}

/** The text of `.env.example`. */
export function envExample(): string {
  const lines = Object.entries(variables).map(([name, { doc, example }]) => `# ${doc}\n${name}=${example}\n`);
  return [
    "# Every setting of Sangam. Printed by `npm run env:example`; nothing here is required.\n",
    ...lines,
  ].join("\n");
}
