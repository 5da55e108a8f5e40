import type { ServerResponse } from "node:http";
import type { Env } from "../../mixins/process/env.ts";

/** Of every answer that is no page: nothing in it is to be run, framed, guessed at or kept. See OWASP's REST Security. */
const headers = new Map([
  ["X-Content-Type-Options", "nosniff"],
  ["Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'"],
  ["Referrer-Policy", "no-referrer"],
  ["Cache-Control", "no-store"],
]);
const oneYear = 31_536_000;

/** Gives answers their security headers; over https also the promise to stay there. */
export function protector({ PUBLIC_URL }: Pick<Env, "PUBLIC_URL">): (response: ServerResponse) => void {
  const all = new Map(headers);
  if (PUBLIC_URL.startsWith("https:")) all.set("Strict-Transport-Security", `max-age=${oneYear}`);
  return (response) => void response.setHeaders(all);
}

/** Whether a page of this origin may call us. */
export function allowedOrigins({ CORS_ORIGINS, PUBLIC_URL }: Pick<Env, "CORS_ORIGINS" | "PUBLIC_URL">) {
  const allowed = new Set([...(CORS_ORIGINS ?? []), PUBLIC_URL].map((url) => new URL(url).origin));
  return (origin: string): boolean => allowed.has(origin);
}

/** moleculer-web's settings of CORS. Credentials are in headers that a page sends itself, so none are allowed along. */
export function corsSettings(env: Pick<Env, "CORS_ORIGINS" | "PUBLIC_URL">): object | undefined {
  if (env.CORS_ORIGINS === undefined) return undefined;
  return {
    // a function: of texts, moleculer-web lets in every origin that is a part of one
    origin: allowedOrigins(env),
    methods: ["GET", "POST", "PUT", "PATCH", "DELETE"],
    allowedHeaders: [
      "Authorization",
      "X-API-Key",
      "Content-Type",
      "If-Match",
      "Idempotency-Key",
      "X-Request-ID",
    ],
    exposedHeaders: [
      ...["ETag", "Location", "Retry-After", "Idempotency-Replayed", "X-Request-ID", "Content-Disposition"],
      ...["RateLimit", "RateLimit-Policy"],
    ],
    maxAge: 600,
  };
}
