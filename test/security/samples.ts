import { z } from "zod";
import type { Route } from "../../services/gateway/routes.ts";

type Json = Record<string, unknown>;
type JsonSchema = {
  type?: string;
  format?: string;
  enum?: unknown[];
  const?: unknown;
  anyOf?: JsonSchema[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  items?: JsonSchema;
  minimum?: number;
  minLength?: number;
  pattern?: string;
};

/** What a schema cannot say of itself: rules between fields, texts of a form. */
const special: Record<string, Json> = {
  "rates.update": { rate: "84.5" },
  "leads.assign": { userId: "self" },
  "leads.setScoringRules": { rules: [] },
  "calls.schedule": { queueId: "01890000-0000-7000-8000-000000000000", phone: "+919876543210" },
};

const schemaOf = (route: Route): JsonSchema =>
  z.toJSONSchema(route.spec.params, { io: "input", unrepresentable: "any" }) as JsonSchema;

/** A body that the action takes: what it requires, and if nothing is required one field, so that it changes something. */
export function sampleBody(route: Route, selfId: string): Json {
  const known = special[route.action];
  if (known) return Object.fromEntries(Object.entries(known).map(([k, v]) => [k, v === "self" ? selfId : v]));
  const { properties = {}, required = [] } = schemaOf(route);
  const own = Object.keys(properties).filter(
    (name) => !route.pathParams.includes(name) && name !== "expectedVersion",
  );
  const needed = own.filter((name) => required.includes(name));
  const chosen = needed.length > 0 || route.method === "DELETE" ? needed : own.slice(0, 1);
  return Object.fromEntries(chosen.map((name) => [name, sample(properties[name] as JsonSchema)]));
}

/** Each place beside the path that takes an id, however deep, with what stands there around an id. */
export function idFields(route: Route): { name: string; field: string; holding: (id: string) => unknown }[] {
  return Object.entries(schemaOf(route).properties ?? {})
    .filter(([field]) => !route.pathParams.includes(field))
    .flatMap(([field, schema]) =>
      placesOfIds(schema).map(({ path, holding }) => ({ name: field + path, field, holding })),
    );
}

function placesOfIds(schema: JsonSchema): { path: string; holding: (id: string) => unknown }[] {
  if (isId(schema)) return [{ path: "", holding: (id) => id }];
  if (schema.items)
    return placesOfIds(schema.items).map(({ path, holding }) => ({
      path: `[]${path}`,
      holding: (id) => [holding(id)],
    }));
  return Object.entries(schema.properties ?? {}).flatMap(([name, property]) =>
    placesOfIds(property).map(({ path, holding }) => ({
      path: `.${name}${path}`,
      holding: (id) => ({ ...(sample(schema) as Json), [name]: holding(id) }),
    })),
  );
}

const isId = ({ format, anyOf }: JsonSchema): boolean => format === "uuid" || (anyOf?.some(isId) ?? false);

function sample(schema: JsonSchema): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  if (schema.anyOf) return sample(schema.anyOf[0] as JsonSchema);
  switch (schema.type) {
    case "object":
      return Object.fromEntries(
        (schema.required ?? []).map((name) => [name, sample(schema.properties?.[name] as JsonSchema)]),
      );
    case "array":
      return [sample(schema.items ?? {})];
    case "integer":
    case "number":
      return Math.max(schema.minimum ?? 1, 1);
    case "boolean":
      return true;
    default:
      return textOf(schema);
  }
}

function textOf({ format, minLength = 1 }: JsonSchema): string {
  if (format === "email") return "someone@example.com";
  if (format === "uuid") return "01890000-0000-7000-8000-000000000000";
  if (format === "date-time") return "2030-01-01T00:00:00Z";
  return "text".padEnd(minLength, "x");
}
