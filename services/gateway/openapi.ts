import { z } from "zod";
import { givenParamsOf, queryOfDelete } from "../../mixins/contract/contract.ts";
import { kinds } from "../../mixins/records/kind/kinds.ts";
import { exampleOf } from "./openapi.examples.ts";
import { headers, problemResponses, problemsOf, successHeaders } from "./openapi.responses.ts";
import { Components, type Json } from "./openapi.schemas.ts";
import { problem } from "./problem.ts";
import { routes, type Route } from "./routes.ts";

/** What there is to say of the parts of the API, by service. */
const tags: Record<string, string> = {
  identity: "Organizations, users, roles and how they sign in",
  leads: "Leads, and what captures, scores, assigns and reminds of them",
  imports: "Files of leads",
  analytics: "Figures by day",
  events: "The feed of everything that happened",
  jobs: "Background work that has failed",
  teams: "Who manages whom",
  privacy: "Export, erasure and retention of personal data",
  records: "What is done with records of whatever kind",
  "custom-fields": "What organizations add to their records",
  views: "Lists that users keep",
  search: "Records of all kinds at once",
  lists: "Records that are chosen by hand, with fields of their own",
  calls: "Calls that wait in queues until somebody claims them",
};
/** Of a kind of record of which no more is said. */
const tagOfKind = (service: string): string | undefined => {
  const kind = [...kinds.values()].find(({ plural }) => plural === service);
  return kind && `${kind.typeName} records: ${service}`;
};

/** `leads.create` is `leads_create`: a name in every language. */
export const operationId = (action: string): string => action.replaceAll(/[.-]/g, "_");

/** The OpenAPI 3.1 document of routes, from their contracts. */
export function openApiDocument(version: string, shown: readonly Route[] = routes): Json {
  const components = new Components();
  // answers first: of two that differ, what is sent has the longer name
  for (const schema of [problem, ...shown.map(({ spec }) => spec.returns)]) components.of(schema, "output");
  const paths: Record<string, Json> = {};
  for (const route of shown) {
    const path = route.path.replace(/:(\w+)/g, "{$1}");
    (paths[path] ??= {})[route.method.toLowerCase()] = operation(route, components);
  }
  const used = new Set(shown.map(({ action }) => action.split(".")[0] as string));
  return {
    openapi: "3.1.0",
    info: {
      title: "Sangam",
      version,
      description: "A realtime CRM. Errors are RFC 9457 problems with a stable `code`.",
      license: { name: "Proprietary", identifier: "LicenseRef-Proprietary" },
    },
    servers: [{ url: "/api/v1" }],
    tags: [...used].map((name) => ({ name, description: tags[name] ?? tagOfKind(name) ?? name })),
    security: [{ bearer: [] }, { apiKey: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
        apiKey: { type: "apiKey", in: "header", name: "X-API-Key" },
      },
      headers: shown.some(({ spec }) => spec.deprecated) ? headers : withoutDeprecation,
      responses: problemResponses,
      schemas: components.schemas,
    },
  };
}

const { Deprecation: _deprecation, Sunset: _sunset, Link: _link, ...withoutDeprecation } = headers;

function operation(route: Route, components: Components): Json {
  const { spec, method } = route;
  const json = components.resolve(components.of(spec.params, "input"));
  const properties = (json.properties ?? {}) as Record<string, Json>;
  const required = new Set((json.required ?? []) as string[]);
  const given = givenParamsOf(spec).filter((name) => name in properties);
  const isRead = method === "GET";
  const parameters: Json[] = [
    ...route.pathParams.map((name) => ({ name, in: "path", required: true, schema: properties[name] ?? {} })),
    ...(method === "DELETE"
      ? given
          .filter(isOfAddress)
          .map((name) => queryParameter(name, properties[name] ?? {}, required.has(name)))
      : []),
    ...(isRead ? given.map((name) => queryParameter(name, properties[name] ?? {}, required.has(name))) : []),
  ];
  if (route.isVersioned)
    parameters.push({
      name: "If-Match",
      in: "header",
      schema: { type: "string" },
      description: 'ETag, `"<version>"`: refused with 412 when the resource has another version',
    });
  if (!isRead)
    parameters.push({
      name: "Idempotency-Key",
      in: "header",
      schema: { type: "string", maxLength: 255 },
      description:
        "A repetition with the same key and body is answered as the first request was, for 24 hours",
    });
  const body = isRead ? [] : given.filter((name) => method !== "DELETE" || !isOfAddress(name));
  return {
    operationId: operationId(route.action),
    summary: spec.summary,
    tags: [route.action.split(".")[0]],
    "x-permission": spec.permission,
    ...(spec.deprecated
      ? {
          deprecated: true,
          description: `Use \`${spec.deprecated.use}\`; gone on ${spec.deprecated.sunset}.`,
        }
      : {}),
    ...(spec.permission === "public" ? { security: [] } : {}),
    ...(spec.permission === "session" ? { security: [{ bearer: [] }] } : {}),
    parameters,
    ...(body.length > 0 ? { requestBody: requestBody(route, body, components) } : {}),
    responses: {
      ...successes(route, components),
      ...problemsOf(route),
      default: { $ref: "#/components/responses/Problem" },
    },
  };
}

const isOfAddress = (name: string) => queryOfDelete.includes(name);

const descriptions: Record<string, string> = {
  force: "Deletes it also where it is in use",
  limit: "How many records a page has",
  cursor: "`nextCursor` of the page before; holds for the same filter and order",
  sort: "A field; with `-` the greatest first",
  filter: "`filter[field]=value`, or `filter[field][op]=value` with an operator: see docs/api.md",
  q: "Every word must begin a word of the record",
  fields: "Only these fields, and the id",
  count: "Whether `page.total` counts the records of all pages",
};

/** As a query string writes it: lists with commas, flags as flags. */
function queryParameter(name: string, schema: Json, required: boolean): Json {
  const forms = schema.anyOf as Json[] | undefined;
  const list = forms?.find(({ type }) => type === "array");
  const flag = forms?.find(({ type }) => type === "boolean");
  const { anyOf: _, ...rest } = schema;
  const shown = list ?? (flag ? { ...rest, ...flag } : schema);
  return {
    name,
    in: "query",
    required,
    ...(name in descriptions ? { description: descriptions[name] } : {}),
    schema: shown,
    ...(list ? { style: "form", explode: false } : {}),
    // an empty example: what a page of docs fills in by itself is sent, and would be a filter by all fields at once
    ...(name === "filter" ? { style: "deepObject", explode: true, example: {} } : {}),
  };
}

function requestBody(route: Route, given: string[], components: Components): Json {
  const { spec } = route;
  const whole = components.of(spec.params, "input");
  const json = components.resolve(whole);
  const properties = json.properties as Record<string, Json>;
  const required = ((json.required ?? []) as string[]).filter((name) => given.includes(name));
  const isMultipart = spec.transfer === "multipart";
  const schema = {
    type: "object",
    properties: {
      ...Object.fromEntries(given.map((name) => [name, properties[name]])),
      ...(isMultipart ? { file: { type: "string", contentMediaType: "application/octet-stream" } } : {}),
    },
    required: [...required, ...(isMultipart ? ["file"] : [])],
    additionalProperties: false,
  };
  const name = route.action.replaceAll(/(?:^|[.-])(\w)/g, (_, letter: string) => letter.toUpperCase());
  const isNamed = "$ref" in whole && given.length === Object.keys(properties).length;
  const type = spec.isForm ? "application/x-www-form-urlencoded" : "application/json";
  // a change of nothing shows nothing
  const example =
    spec.example?.params
    ?? exampleOf(isNamed ? whole : schema, components, required.length === 0 && !isNamed);
  return {
    required: required.length > 0 || isMultipart,
    content: {
      [isMultipart ? "multipart/form-data" : type]: {
        schema: isNamed ? whole : components.add(`${name}Body`, schema),
        ...(isMultipart ? {} : { example }),
      },
    },
  };
}

/** Answers of a success, by status. */
function successes(route: Route, components: Components): Json {
  const { spec } = route;
  const status = spec.status ?? 200;
  const answer = (code: number, description: string, content?: Json, hasVersion = false) => ({
    [String(code)]: {
      description,
      headers: successHeaders(route, code, hasVersion),
      ...(content ? { content } : {}),
    },
  });
  if (status === 204) return answer(204, "Done");
  if (spec.transfer === "download")
    return answer(status, "A file", { [spec.file?.({}).type ?? "application/octet-stream"]: {} });
  if (spec.transfer === "browser") return browserAnswers(route, components, answer);
  const returns = spec.returns instanceof z.ZodNullable ? (spec.returns.unwrap() as z.ZodType) : spec.returns;
  const schema = components.of(returns, "output");
  const { properties = {} } = components.resolve(schema);
  const hasVersion = "version" in (properties as Json);
  const content = {
    "application/json": {
      schema: route.hasFields ? { anyOf: [schema, { $ref: `${String(schema.$ref)}Part` }] } : schema,
      example: spec.example?.result ?? exampleOf(schema, components, true),
    },
  };
  return {
    ...answer(status, spec.summary, content, hasVersion),
    ...(returns === spec.returns ? {} : answer(204, "There is none")),
    ...(spec.isDone ? answer(200, "All of it is done", content) : {}),
    ...(spec.upserts ? answer(201, "It was not there, and has been made", content, hasVersion) : {}),
  };
}

function browserAnswers(
  route: Route,
  components: Components,
  answer: (code: number, description: string, content?: Json) => Json,
): Json {
  const { spec, method } = route;
  const isMetadata = route.path.endsWith("/metadata");
  const shape = (spec.returns as z.ZodObject).shape as Record<string, z.ZodType>;
  const body = shape.body && components.of(shape.body, "output");
  const schema = body && spec.returns instanceof z.ZodObject ? body : {};
  const leads = {
    [method === "GET" ? "302" : "303"]: {
      description: "Leads the browser on",
      headers: { Location: { $ref: "#/components/headers/Location" } },
    },
  };
  if (isMetadata) return answer(200, spec.summary, { "application/samlmetadata+xml": {} });
  if (schema.type === "null") return leads;
  return { ...answer(200, spec.summary, { "application/json": { schema } }), ...leads };
}
