import { defineEntity, p } from "@mikro-orm/postgresql";
import { columnsOf, type AnyKind } from "./kind.ts";
import type { Field } from "./fields.ts";
import { columnOf } from "../finding/listing.ts";

const propertyOf = {
  text: () => p.string(),
  uuid: () => p.uuid(),
  integer: () => p.integer(),
  boolean: () => p.boolean(),
  timestamp: () => p.datetime(3),
  "text[]": () => p.array<string>(),
  json: () => p.json<unknown>(),
  jsonText: () => p.json<unknown>(),
  money: () => p.bigint("string"),
  parts: () => p.json<unknown>(),
  anyRef: () => p.uuid(),
};

/** MikroORM's entity of a kind's table. */
export function entityOf({ typeName, table, fields }: Pick<AnyKind, "typeName" | "table" | "fields">) {
  return defineEntity({
    name: typeName,
    tableName: table,
    properties: {
      id: p.uuid().primary(),
      organizationId: p.uuid(),
      version: p.integer().version(),
      createdAt: p.datetime(3),
      updatedAt: p.datetime(3),
      deletedAt: p.datetime(3).nullable(),
      mergedInto: p.uuid().nullable(),
      ...(Object.fromEntries(
        Object.entries(fields).flatMap(([key, field]) => propertiesOf(key, field)),
      ) as Record<string, ReturnType<typeof p.string>>),
    },
  });
}

function propertiesOf(key: string, field: Field) {
  const isNullable = field.fallback === undefined;
  const property = propertyOf[field.stored]().fieldName(columnOf(key));
  const own: [string, object] = [key, isNullable ? property.nullable() : property];
  if (field.stored === "anyRef")
    return [own, [`${key}Kind`, p.string().nullable()], [`${key}Owner`, p.uuid().nullable()]];
  return columnsOf(key, field).length === 1 ? [own] : [own, [`${key}Currency`, p.string().nullable()]];
}
