import type { Field } from "./fields.ts";
import { columnsOf, type AnyKind } from "./kind.ts";
import { columnOf } from "../finding/listing.ts";

/**
 * The migration that makes the table of a new kind, of its declaration: what `npm run -s kind-table <kind>` prints.
 * @param kinds those that its fields may refer to, by name
 */
export function tableSql(kind: AnyKind, kinds: ReadonlyMap<string, Pick<AnyKind, "table">>): string {
  const { table, listing, owner } = kind;
  const fields = Object.entries(kind.fields);
  const columns = fields.flatMap(([key, field]) => columnsSql(key, field));
  const some = (test: (field: Field, key: string) => unknown) =>
    fields.filter(([key, field]) => test(field, key)).map(([key]) => columnOf(key));
  const { terms = [], likes = [] } = listing.finding ?? {};
  const { sortable } = listing;
  // texts sort by a collation of their own, whose index finds none that are equal
  const isFound = ({ stored, matches }: Field, key: string) =>
    terms.includes(key) || (sortable.includes(key) && !matches) || key === owner || stored === "text[]";
  const lists = {
    texts: some(({ search }) => search),
    terms: terms.map(columnOf),
    likes: likes.map(columnOf),
    // numbers alone say what form they have
    phones: some(({ search, formExample }) => search && formExample),
    sorts: some((_field, key) => sortable.includes(key)),
    filters: some((field, key) => field.isFilterable && field.setBy !== "unseen" && !isFound(field, key)),
  };
  const named = Object.entries(lists)
    .filter(([name, list]) => list.length > 0 || ["texts", "terms", "likes"].includes(name))
    .map(([name, list]) => `${name} => '{${list.join(",")}}'`);
  const owned = owner === undefined ? [] : [`owner => '${columnOf(owner)}'`];
  const references = fields.flatMap(([key, { refersTo = "" }]) => {
    const target = kinds.get(refersTo)?.table;
    return target === undefined
      ? []
      : [
          `\n  ADD FOREIGN KEY (organization_id, ${columnOf(key)}) REFERENCES ${target} (organization_id, id)`,
        ];
  });
  return `-- breaking: no
-- concurrently: no
-- The records of the kind ${kind.name}.

CREATE TABLE ${table} (
  ${columns.join(",\n  ")}
);
SELECT pg_temp.record_table('${table}',
  ${[...named, ...owned, `kind => '${kind.name}'`].join(",\n  ")});
${references.length === 0 ? "" : `ALTER TABLE ${table}${references.join(",")};\n`}`;
}

const types = {
  ...{ text: "text", uuid: "uuid", integer: "integer", boolean: "boolean", timestamp: "timestamptz(3)" },
  ...{
    "text[]": "text[]",
    json: "jsonb",
    jsonText: "jsonb",
    money: "bigint",
    parts: "jsonb",
    anyRef: "uuid",
  },
} satisfies Record<Field["stored"], string>;

/** What a new record has where nothing is given, as PostgreSQL writes it. */
export function fallbackSql({ stored, fallback }: Pick<Field, "stored" | "fallback">): string {
  const plain =
    stored === "text[]"
      ? "{}"
      : stored.startsWith("json") || stored === "parts"
        ? JSON.stringify(fallback)
        : String(fallback);
  return `'${plain.replaceAll("'", "''")}'`;
}

function columnsSql(key: string, { stored, fallback, values }: Field): string[] {
  const [column = "", currency] = columnsOf(key, { stored });
  const asked = fallback === undefined ? "" : ` NOT NULL DEFAULT ${fallbackSql({ stored, fallback })}`;
  const checked = values
    ? ` CHECK (${column} IN (${values.map((value) => `'${value.replaceAll("'", "''")}'`).join(", ")}))`
    : "";
  const own = `${column} ${types[stored]}${asked}${checked}`;
  if (stored === "anyRef")
    return [
      own,
      `${column}_kind text`,
      `${column}_owner uuid`,
      `CHECK ((${column} IS NULL) = (${column}_kind IS NULL))`,
    ];
  return currency === undefined
    ? [own]
    : [own, `${currency} text`, `CHECK ((${column} IS NULL) = (${currency} IS NULL))`];
}
