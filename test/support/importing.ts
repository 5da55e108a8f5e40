import { parse } from "csv-parse/sync";
import type { Meta } from "../../mixins/contract/meta.ts";
import { inspect } from "./database.ts";
import { buildMeta, ended, rejectedRows, upload } from "./imports.ts";
import type { TestNode } from "./node.ts";
import type { Body } from "./records.ts";

/** Imports files into organizations of their own, and looks at what came of them. */
export class Importing {
  readonly #node: TestNode;
  constructor(node: TestNode) {
    this.#node = node;
  }

  /** Waits for its end. @param meta default: an admin of a new organization */
  async importFile(file: string | Buffer, params = {}, meta: Meta = buildMeta(), plural = "leads") {
    const { id } = await upload(this.#node, meta, file, params, plural);
    return { meta, id, view: await ended(this.#node, meta, id, 60_000) };
  }

  rowsOf = async <T extends Record<string, unknown>>(meta: Meta, table: string, order = "1") =>
    (
      await Promise.all(
        this.#node.databases.map((url) =>
          inspect<T>(url, `SELECT * FROM ${table} WHERE organization_id = $1 ORDER BY ${order}`, [
            meta.organizationId,
          ]),
        ),
      )
    ).flat();

  leadsOf = async (meta: Meta) =>
    (await this.#node.call("leads.list", { sort: "createdAt", limit: 200 }, meta)).data;

  recordsOf = async (plural: string, meta: Meta) => {
    const params = { sort: "createdAt", limit: 200 };
    const call = this.#node.broker.call<{ data: Body[] }, object>(`${plural}.list`, params, {
      meta: { ...meta },
    });
    return (await call).data;
  };

  /** Types of the custom fields that are defined, by key. */
  fieldsOf = async (meta: Meta) =>
    Object.fromEntries(
      (await this.rowsOf<{ key: string; type: string }>(meta, "custom_fields", "key")).map(
        ({ key, type }) => [key, type],
      ),
    );

  /** What the file of rejected rows tells: the row and the reason. */
  reasonsOf = async (meta: Meta, id: string): Promise<string[]> =>
    parse(await rejectedRows(this.#node, meta, id), { relax_column_count: true })
      .slice(1)
      .map(([row = "", reason = ""]) => `${row} ${reason}`);
}

export const countsOf = ({
  created,
  updated,
  skipped,
  failed,
  processed,
  total,
}: Record<string, unknown>) => ({ created, updated, skipped, failed, processed, total });
