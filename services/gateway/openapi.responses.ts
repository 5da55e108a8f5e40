import type { FieldError } from "../../mixins/contract/errors.ts";
import { titles } from "./problem.ts";
import type { Route } from "./routes.ts";
import type { Json } from "./openapi.schemas.ts";

/** Problems that routes answer, by status: the name of the component, and when they come. */
const problems: Record<number, { name: string; description: string; code: string; detail: string }> = {
  400: {
    name: "BadRequest",
    description: "The query string or the form of the request is wrong; `errors` says where",
    code: "INVALID_QUERY",
    detail: "The query string is not valid; see errors.",
  },
  401: {
    name: "Unauthorized",
    description: "No token or key, or one that is not valid",
    code: "UNAUTHENTICATED",
    detail: "Sign in first: send Authorization: Bearer <access token>, or X-API-Key.",
  },
  403: {
    name: "Forbidden",
    description: "The role does not permit it, or the organization is suspended",
    code: "FORBIDDEN",
    detail: "This needs the permission leads:read.",
  },
  404: {
    name: "NotFound",
    description: "There is no such resource, or the caller may not see it",
    code: "NOT_FOUND",
    detail: "There is no such resource.",
  },
  409: {
    name: "Conflict",
    description: "It does not go together with what is there",
    code: "EMAIL_TAKEN",
    detail: "A user with this email exists.",
  },
  410: {
    name: "Gone",
    description: "It has expired, or it is part of another record: `mergedInto` says which",
    code: "ARCHIVE_GONE",
    detail: "It has expired.",
  },
  412: {
    name: "PreconditionFailed",
    description: "The resource has another version than If-Match says",
    code: "VERSION_MISMATCH",
    detail: "The resource has changed; its version is now 4.",
  },
  413: {
    name: "ContentTooLarge",
    description: "The body is too large",
    code: "BODY_TOO_LARGE",
    detail: "The body is larger than 1 MB.",
  },
  415: {
    name: "UnsupportedMediaType",
    description: "The body has a type, an encoding or a charset that is not taken",
    code: "UNSUPPORTED_MEDIA_TYPE",
    detail: "Send application/json.",
  },
  422: {
    name: "UnprocessableContent",
    description: "The body is not valid; `errors` says where",
    code: "VALIDATION_FAILED",
    detail: "The request is not valid; see errors.",
  },
  429: {
    name: "TooManyRequests",
    description: "A limit is reached; `Retry-After` says when to come again",
    code: "RATE_LIMITED",
    detail: "You send too many requests; try again in 12 s.",
  },
  503: {
    name: "ServiceUnavailable",
    description: "Not now; `Retry-After` says when to come again",
    code: "SERVICE_UNAVAILABLE",
    detail: "No node offers this now; try again.",
  },
};

const text = (description: string, example: string) => ({
  description,
  schema: { type: "string" },
  example,
});
/** Response headers, as components. */
export const headers: Record<string, Json> = {
  ETag: text("Version of the resource, for `If-Match`", '"3"'),
  Location: text("Where a GET finds it", "/api/v1/leads/01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f"),
  "X-Request-ID": text("Id of the request: the client's, or a new one", "01990d5e-7b1a"),
  RateLimit: text(
    "What is left of the limit nearest to its end, and seconds until it is whole",
    '"default";r=99;t=60',
  ),
  "RateLimit-Policy": text(
    "Limits of a user and an organization",
    '"default";q=100;w=60, "organization";q=3000;w=60',
  ),
  "Retry-After": {
    description: "Seconds after which to come again",
    schema: { type: "integer", minimum: 1 },
    example: 12,
  },
  "Idempotency-Replayed": {
    description: "There when the answer is the recorded one of an earlier request with this key",
    schema: { type: "string", enum: ["true"] },
    example: "true",
  },
  Deprecation: text("Since when the route should not be used (RFC 9745)", "@1767225600"),
  Sunset: text("When the route ends (RFC 8594)", "Fri, 01 Jan 2027 00:00:00 GMT"),
  Link: text("What to use in its place", '</api/v1/leads>; rel="successor-version"'),
};

const ref = (name: string) => ({ $ref: `#/components/headers/${name}` });
const named = (names: readonly string[]): Json => Object.fromEntries(names.map((name) => [name, ref(name)]));
const always = ["X-Request-ID", "RateLimit", "RateLimit-Policy"];

/** Headers of a success of a route. */
export function successHeaders({ spec, method }: Route, status: number, hasVersion: boolean): Json {
  return named([
    ...always,
    ...(hasVersion ? ["ETag"] : []),
    ...(status === 201 || status === 202 ? ["Location"] : []),
    ...(method === "GET" ? [] : ["Idempotency-Replayed"]),
    ...(spec.deprecated ? ["Deprecation", "Sunset", "Link"] : []),
  ]);
}

const wrong: Record<string, FieldError[]> = {
  400: [{ path: "limit", code: "too_big", message: "Must be at most 200." }],
  422: [
    { path: "email", code: "invalid_format", message: "Must be an email address such as asha@example.com." },
  ],
};

/** Problems, as components. */
export const problemResponses: Record<string, Json> = {
  Problem: {
    description: "Any other problem",
    headers: named(always),
    content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
  },
  ...Object.fromEntries(
    Object.entries(problems).map(([status, { name, description, code, detail }]) => [
      name,
      {
        description,
        headers: named([...always, ...(status === "429" || status === "503" ? ["Retry-After"] : [])]),
        content: {
          "application/problem+json": {
            schema: { $ref: "#/components/schemas/Problem" },
            example: {
              ...{ type: "about:blank", title: titles[Number(status)], status: Number(status), detail },
              ...{ instance: "/api/v1/leads", code, requestId: "01990d5e-7b1a" },
              ...(wrong[status] ? { errors: wrong[status] } : {}),
            },
          },
        },
      },
    ]),
  ),
};

/** Statuses of the problems a route may answer. */
function problemStatuses({ spec, method, pathParams, isVersioned }: Route): number[] {
  const isPublic = spec.permission === "public";
  const isRead = method === "GET";
  return [
    400,
    ...(isPublic && isRead ? [] : [401, 403]),
    ...(pathParams.length > 0 ? [404] : []),
    ...(isRead ? [] : [409, 413, 415, 422]),
    ...(isVersioned ? [412] : []),
    ...(spec.fails ?? []),
    429,
    503,
  ].sort((a, b) => a - b);
}

/** The problems of a route, by status. */
export const problemsOf = (route: Route): Json =>
  Object.fromEntries(
    [...new Set(problemStatuses(route))].map((status) => [
      String(status),
      { $ref: `#/components/responses/${problems[status]?.name}` },
    ]),
  );
