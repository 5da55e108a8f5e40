import { z } from "zod";

/** The parts of a JSON schema that tell where values stand. */
export interface JsonSchema {
  type?: string;
  format?: string;
  enum?: unknown[];
  const?: unknown;
  anyOf?: JsonSchema[];
  allOf?: JsonSchema[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  additionalProperties?: JsonSchema | boolean;
  propertyNames?: JsonSchema;
  items?: JsonSchema;
  minimum?: number;
  minLength?: number;
}

export const jsonSchemaOf = (schema: z.ZodType): JsonSchema =>
  z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema;

/** A place in a value: its path, its schema, and the smallest value around it. */
export interface Place {
  path: string[];
  schema: JsonSchema;
  holding: (value: unknown) => unknown;
}

/** Every place in a value of this schema, however deep, the value itself first. */
export function placesOf(schema: JsonSchema): Place[] {
  const here: Place = { path: [], schema, holding: (value) => value };
  const inside = (name: string, inner: JsonSchema, around: (value: unknown) => unknown) =>
    placesOf(inner).map(({ path, schema: of, holding }) => ({
      path: [name, ...path],
      schema: of,
      holding: (value: unknown) => around(holding(value)),
    }));
  const properties = Object.entries(schema.properties ?? {}).flatMap(([name, inner]) =>
    inside(name, inner, (value) => ({ ...sampleObject(schema), [name]: value })),
  );
  const items = schema.items ? inside("0", schema.items, (value) => [value]) : [];
  const extra = schema.additionalProperties;
  const entries = typeof extra === "object" ? inside("key", extra, (value) => ({ key: value })) : [];
  // other forms of the same place: only what is inside them is another one
  const forms = [...(schema.anyOf ?? []), ...(schema.allOf ?? [])].flatMap((form) => placesOf(form).slice(1));
  return [here, ...properties, ...items, ...entries, ...forms];
}

const sampleObject = ({ properties = {}, required = [] }: JsonSchema): Record<string, unknown> =>
  Object.fromEntries(required.map((name) => [name, sampleOf(properties[name] ?? {})]));

/** A value the schema takes, as far as it can say so. */
export function sampleOf(schema: JsonSchema): unknown {
  if (schema.const !== undefined) return schema.const;
  if (schema.enum) return schema.enum[0];
  const [form] = schema.anyOf ?? schema.allOf ?? [];
  if (form) return sampleOf(form);
  switch (schema.type) {
    case "object":
      return sampleObject(schema);
    case "array":
      return [sampleOf(schema.items ?? {})];
    case "integer":
    case "number":
      return Math.max(schema.minimum ?? 1, 1);
    case "boolean":
      return true;
    case "null":
      return null;
    default:
      return sampleText(schema);
  }
}

function sampleText({ format, minLength = 1 }: JsonSchema): string {
  if (format === "email") return "someone@example.com";
  if (format === "uuid") return "01890000-0000-7000-8000-000000000000";
  if (format === "date-time") return "2030-01-01T00:00:00Z";
  if (format === "date") return "2030-01-01";
  return "text".padEnd(minLength, "x");
}
