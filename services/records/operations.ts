import type { Logger } from "moleculer";
import { sightOf } from "../../mixins/access/principal.ts";
import { lastingReason } from "../../mixins/contract/passing.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import type { Values } from "../../mixins/records/finding/listing.ts";
import {
  findOperation,
  isOver,
  operationListing,
  operationNotFound,
  operationView,
  storeProgress,
  type OperationView,
} from "../../mixins/records/writing/operations.ts";
import { readPage } from "../../mixins/records/finding/page.ts";
import { actingAs, type CallAs } from "../acting-as.ts";
import { enqueue, type Ctx, type JobCtx, type Result } from "../contracts.ts";

/** Who sees everybody's records sees everybody's operations, others their own. */
export async function listOperations(
  ctx: Ctx<"records.listOperations">,
): Promise<Result<"records.listOperations">> {
  const { principal, tx } = ctx.locals;
  const where = (values: Values) =>
    sightOf(principal) === "all" ? [] : [`started_by = ${values.add(principal.userId)}`];
  return readPage(tx, operationListing, ctx.params, operationView, where);
}

/** @throws 404 */
export async function getOperation(ctx: Ctx<"records.getOperation">): Promise<OperationView> {
  const { principal, tx } = ctx.locals;
  const operation = await findOperation(tx, ctx.params.id);
  if (!operation || (sightOf(principal) !== "all" && operation.started_by !== principal.userId))
    throw operationNotFound();
  return operationView(operation);
}

interface Parts {
  database: Database;
  kinds: ReadonlyMap<string, Pick<AnyKind, "plural">>;
  call: CallAs;
  onEvents(organizationId: string): void;
  /** Whether the node wants to stop: the run ends after the step in hand. */
  isStopping(): boolean;
  logger: Logger;
}

/**
 * The job of an operation: step by step, as whoever began it, with the role that they have by now. Each step has its checkpoint in
 * the transaction that writes its records, so a run may be cut anywhere, and two of them do nothing twice.
 */
export async function runOperation(ctx: JobCtx<"records.runOperation">, parts: Parts): Promise<void> {
  const { principal, tx } = ctx.locals;
  const { operationId } = ctx.params;
  const { organizationId } = principal;
  const reader = parts.database.reader(organizationId);
  const operation = await findOperation(reader, operationId);
  const kind = operation && parts.kinds.get(operation.kind);
  if (!operation || !kind || isOver(operation)) return;
  try {
    const meta = await actingAs(parts.call, organizationId, operation.started_by);
    for (;;) {
      if (parts.isStopping()) {
        enqueue(tx, "records.runOperation", { operationId }, { key: operationId });
        return;
      }
      const step = await parts.call<{ isOver: boolean }>(
        operation.verb === "add" ? "lists.applyOperation" : `${kind.plural}.applyOperation`,
        { operationId },
        meta,
      );
      if (step.isOver) return;
    }
  } catch (error) {
    const why = lastingReason(error, parts.logger, `operation ${operationId}`);
    await parts.database.transaction({ organizationId }, async (own) => {
      const now = await findOperation(own, operationId, true);
      if (!now || isOver(now)) return;
      storeProgress(own, now, { status: "failed", error: why });
    });
    parts.onEvents(organizationId);
  }
}

export const forgetOperations = (database: Database): Promise<void> =>
  database.eachShard((shard) =>
    database.transaction(shard, (tx) =>
      tx.execute({
        name: "forget_operations",
        text: "DELETE FROM operations WHERE finished_at < now() - interval '30 days'",
        values: [],
      }),
    ),
  );
