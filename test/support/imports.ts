import { Readable } from "node:stream";
import { text as readText } from "node:stream/consumers";
import { v7 as uuidv7 } from "uuid";
import type { ParamsIn } from "../../mixins/contract/contract.ts";
import type { Meta } from "../../mixins/contract/meta.ts";
import type { Actions, Result } from "../../services/contracts.ts";
import type { ImportView } from "../../services/imports/imports.contract.ts";
import type { Node } from "../../services/node.ts";
import { eventually } from "./eventually.ts";

/** An admin of an organization of its own. */
export const buildMeta = (overrides: Meta = {}): Meta => ({
  organizationId: uuidv7(),
  userId: uuidv7(),
  role: "admin",
  ...overrides,
});

/** Uploads a file as the gateway does. @param plural of which records it is */
export async function upload(
  node: Node,
  meta: Meta,
  file: string | Buffer | Readable,
  params: Partial<ParamsIn<Actions["leads.import"]>> = {},
  plural = "leads",
): Promise<Result<"leads.import">> {
  const stream =
    file instanceof Readable ? file : Readable.from([Buffer.from(file as string)], { objectMode: false });
  return node.broker.call(`${plural}.import`, params as never, {
    meta: { ...meta },
    stream,
    timeout: 300_000,
  });
}

/** The import once it has come to an end. */
export const ended = (node: Node, meta: Meta, id: string, timeoutMs = 30_000): Promise<ImportView> =>
  eventually(async (): Promise<ImportView | null> => {
    const view = await node.broker.call<ImportView, { id: string }>(
      "imports.get",
      { id },
      { meta: { ...meta } },
    );
    return ["completed", "failed", "rolled_back"].includes(view.status) ? view : null;
  }, timeoutMs);

/** The file of rejected rows. */
export const rejectedRows = async (node: Node, meta: Meta, id: string): Promise<string> =>
  readText(await node.broker.call<Readable, { id: string }>("imports.errors", { id }, { meta: { ...meta } }));
