import type { QueryField } from "../conditions/fields.ts";
import { operandText } from "../conditions/operands.ts";
import { columnOf } from "../finding/listing.ts";

/** What lists of a kind are asked for by the records of any kind that they name: `relatedTo.kind`, `relatedTo.id`. */
export function anyRefFilters(
  fields: Readonly<Record<string, { stored: string }>>,
): Record<string, QueryField> {
  const filters = Object.entries(fields).flatMap(([key, { stored }]): [string, QueryField][] =>
    stored === "anyRef"
      ? [
          [`${key}.kind`, filterOf(`${columnOf(key)}_kind`, "text")],
          [`${key}.id`, filterOf(columnOf(key), "uuid")],
        ]
      : [],
  );
  return Object.fromEntries(filters);
}

const filterOf = (column: string, type: "text" | "uuid"): QueryField => ({
  ...{ type, operators: ["eq", "ne", "in", "nin", "isnull"] },
  sqlOfTest({ op, operands, isNull }, values) {
    if (op === "isnull") return `${column} IS ${isNull ? "" : "NOT "}NULL`;
    const has = `${column} = ANY (${values.add(operands.map(operandText))}::${type}[])`;
    return op === "ne" || op === "nin" ? `(${has}) IS NOT TRUE` : has;
  },
});
