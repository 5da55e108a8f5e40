import { isDeepStrictEqual } from "node:util";
import { z } from "zod";

export type Json = Record<string, unknown>;
/** Whether a schema is of what is sent here, or of what is answered. */
export type Direction = "input" | "output";

const home = "#/components/schemas/";

/** The schemas of a document: those that have a name (`.meta({ id })`) once, and referred to. */
export class Components {
  readonly schemas: Record<string, Json> = {};

  /** A schema as JSON Schema, its named parts as references. */
  of(schema: z.ZodType, io: Direction): Json {
    const {
      $schema: _,
      $defs = {},
      ...json
    } = z.toJSONSchema(schema, { io, unrepresentable: "any", override: withoutPatternOfFormat }) as Json;
    const names = new Map(
      Object.entries($defs as Record<string, Json>).map(([name, definition]) => [
        name,
        this.#nameOf(name, definition, $defs as Record<string, Json>),
      ]),
    );
    for (const [name, definition] of Object.entries($defs as Record<string, Json>))
      this.schemas[names.get(name) as string] ??= referring(definition, names);
    return referring(json, names);
  }

  /** Keeps a schema under a name of its own, and answers the reference. */
  add(name: string, schema: Json): Json {
    if (this.schemas[name] && !isDeepStrictEqual(this.schemas[name], schema))
      throw new Error(`Two schemas have the name ${name}`);
    this.schemas[name] = schema;
    return { $ref: home + name };
  }

  /** What a reference stands for. */
  resolve(schema: Json): Json {
    const { $ref } = schema;
    return typeof $ref === "string" ? (this.schemas[$ref.slice(home.length)] ?? {}) : schema;
  }

  /** With defaults, what is sent is another schema than what is answered: the second to come is the input. */
  #nameOf(name: string, definition: Json, all: Record<string, Json>): string {
    const known = this.schemas[name];
    const own = new Map(Object.keys(all).map((one) => [one, one]));
    return known === undefined || isDeepStrictEqual(known, referring(definition, own))
      ? name
      : `${name}Input`;
  }
}

/** A copy whose references lead to the document's components. */
function referring(schema: Json, names: ReadonlyMap<string, string>): Json {
  const copy = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(copy);
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(
      Object.entries(value).map(([key, part]) =>
        key === "$ref" && typeof part === "string"
          ? [key, home + (names.get(part.replace("#/$defs/", "")) ?? "")]
          : [key, copy(part)],
      ),
    );
  };
  return copy(schema) as Json;
}

/** The format says it; the regular expressions of zod fill a screen. */
function withoutPatternOfFormat({ jsonSchema }: { jsonSchema: { format?: string; pattern?: string } }): void {
  if (jsonSchema.format !== undefined) delete jsonSchema.pattern;
}
