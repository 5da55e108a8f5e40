import type { ParamsIn } from "../../mixins/contract/contract.ts";
import type { Meta } from "../../mixins/contract/meta.ts";
import type { Actions } from "../../services/contracts.ts";
import type { RequestView } from "../../services/privacy/privacy.contract.ts";
import { inspect } from "./database.ts";
import { eventually } from "./eventually.ts";
import { type TestNode } from "./node.ts";

/** The request once it is completed. */
export const completed = (
  node: Pick<TestNode, "call">,
  meta: Meta,
  { id }: { id: string },
  timeoutMs = 30_000,
): Promise<RequestView> =>
  eventually(async () => {
    const request = await node.call("privacy.getRequest", { id }, { ...meta });
    return request.status === "completed" && request;
  }, timeoutMs);

/** Erases somebody, and answers the completed request. */
export async function erase(
  node: TestNode,
  meta: Meta,
  params: Omit<ParamsIn<Actions["privacy.createErasure"]>, "reason">,
): Promise<RequestView> {
  const request = await node.call("privacy.createErasure", { reason: "Asked for", ...params }, { ...meta });
  return completed(node, meta, request);
}

/** What a receipt says of each part, without those of which it says nothing. */
export const countsOf = ({ receipt }: RequestView): Record<string, number> =>
  Object.fromEntries((receipt?.parts ?? []).flatMap(({ part, count }) => (count > 0 ? [[part, count]] : [])));

/** The tables with a row that shows one of these texts in any of its columns, whatever their types. */
export async function findTraces(urls: readonly string[], traces: readonly string[]): Promise<string[]> {
  const found = new Set<string>();
  for (const url of urls) {
    const tables = await inspect<{ name: string; bytes: string[] }>(
      url,
      `SELECT c.oid::regclass::text AS name, ARRAY(SELECT attname::text FROM pg_attribute a
         WHERE a.attrelid = c.oid AND a.atttypid = 'bytea'::regtype AND NOT a.attisdropped) AS bytes
       FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') AND c.relkind = 'r'`,
    );
    const searches = tables.map(({ name, bytes }) => {
      const texts = ["t::text", ...bytes.map((column) => `encode("${column}", 'escape')`)];
      const test = texts.map((text) => `${text} ILIKE ANY ($1)`).join(" OR ");
      return `SELECT '${name}' AS name WHERE EXISTS (SELECT FROM ${name} t WHERE ${test})`;
    });
    const rows = await inspect<{ name: string }>(url, searches.join(" UNION ALL "), [
      traces.map((trace) => `%${trace}%`),
    ]);
    for (const { name } of rows) found.add(name);
  }
  return [...found].sort();
}
