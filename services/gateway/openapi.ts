import { z } from "zod";
import { problem } from "./problem.ts";
import { filledByGateway } from "../../mixins/contract/contract.ts";
import { routes, type Route } from "./routes.ts";

type Json = Record<string, unknown>;

const schemaOf = (schema: z.ZodType, io: "input" | "output"): Json => {
  const { $schema: _, ...json } = z.toJSONSchema(schema, { io, unrepresentable: "any" }) as Json;
  return json;
};

/** The OpenAPI 3.1 document of every route, from the contracts. */
export function openApiDocument(version: string): Json {
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = route.path.replace(/:(\w+)/g, "{$1}");
    (paths[path] ??= {})[route.method.toLowerCase()] = operation(route);
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Sangam",
      version,
      description: "A realtime CRM. Errors are RFC 9457 problems with a stable `code`.",
    },
    servers: [{ url: "/api/v1" }],
    security: [{ bearer: [] }, { apiKey: [] }],
    paths,
    components: {
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", bearerFormat: "JWT" },
        apiKey: { type: "apiKey", in: "header", name: "X-API-Key" },
      },
      schemas: { Problem: schemaOf(problem, "output") },
    },
  };
}

function operation(route: Route): Json {
  const { spec, method } = route;
  const properties = (schemaOf(spec.params, "input").properties as Record<string, Json> | undefined) ?? {};
  const required = new Set((schemaOf(spec.params, "input").required as string[] | undefined) ?? []);
  const named = Object.keys(properties).filter(
    (name) => !route.pathParams.includes(name) && !filledByGateway.includes(name),
  );
  const hasBody = method !== "GET";
  const parameters: Json[] = [
    ...route.pathParams.map((name) => ({ name, in: "path", required: true, schema: properties[name] ?? {} })),
    ...(hasBody
      ? []
      : named.map((name) => ({
          name,
          in: "query",
          required: required.has(name),
          schema: properties[name],
          ...(name === "filter" ? { style: "deepObject", explode: true } : {}),
        }))),
  ];
  if (route.isVersioned)
    parameters.push({
      name: "If-Match",
      in: "header",
      schema: { type: "string" },
      description: 'ETag, `"<version>"`',
    });
  if (method !== "GET")
    parameters.push({ name: "Idempotency-Key", in: "header", schema: { type: "string", maxLength: 255 } });
  return {
    operationId: route.action,
    summary: spec.summary,
    tags: [route.action.split(".")[0]],
    "x-permission": spec.permission,
    ...(spec.permission === "public" ? { security: [] } : {}),
    ...(spec.permission === "session" ? { security: [{ bearer: [] }] } : {}),
    parameters,
    ...(hasBody && named.length > 0 ? { requestBody: requestBody(route, named, properties, required) } : {}),
    responses: {
      [String(spec.status ?? 200)]: success(route),
      default: {
        description: "A problem",
        content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
      },
    },
  };
}

function requestBody(
  route: Route,
  named: string[],
  properties: Record<string, Json>,
  required: Set<string>,
): Json {
  const isMultipart = route.spec.transfer === "multipart";
  const schema = {
    type: "object",
    properties: {
      ...Object.fromEntries(named.map((name) => [name, properties[name]])),
      ...(isMultipart ? { file: { type: "string", contentMediaType: "application/octet-stream" } } : {}),
    },
    required: [...named.filter((name) => required.has(name)), ...(isMultipart ? ["file"] : [])],
    additionalProperties: false,
  };
  const type = route.spec.isForm ? "application/x-www-form-urlencoded" : "application/json";
  return {
    required: true,
    content: { [isMultipart ? "multipart/form-data" : type]: { schema } },
  };
}

function success({ spec }: Route): Json {
  if (spec.status === 204) return { description: "Done" };
  if (spec.transfer === "download")
    return { description: "A file", content: { [spec.file?.({}).type ?? "application/octet-stream"]: {} } };
  if (spec.transfer === "browser") {
    const { body } = schemaOf(spec.returns, "output").properties as Record<string, Json>;
    return {
      description: `${spec.summary}; or a redirect with Location`,
      content: { "application/json": { schema: body ?? {} } },
    };
  }
  return {
    description: spec.summary,
    content: { "application/json": { schema: schemaOf(spec.returns, "output") } },
  };
}
