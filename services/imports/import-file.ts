import { can, requirePermission, sightOf, type Principal } from "../../mixins/access/principal.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { requireRoomFor } from "../../mixins/organizations/limits.ts";
import { quotaExceeded } from "../../mixins/organizations/plans.ts";
import type { RecordContext } from "../../mixins/records/writing/desk.ts";
import { associationsOf } from "../../mixins/records/importing/associations.ts";
import { mayGiveGuarded } from "../../mixins/records/kind/part-rights.ts";
import type { ImportForm } from "../../mixins/records/importing/import-form.ts";
import { firstOwner } from "../../mixins/records/writing/ownership.ts";
import { defaultKeysOf } from "../../mixins/records/importing/keys.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import { kinds } from "../../mixins/records/kind/kinds.ts";
import { enqueue } from "../contracts.ts";
import { mayNotReachAll, uploadExpired } from "./imports.errors.ts";
import { countBytes, submitUpload, type ImportRecord } from "./imports.repository.ts";
import { targetsOf, type KindTargets } from "./targets.ts";
import { discardUpload, storeUpload } from "./upload.ts";

/** Adds the job of an import. */
export function enqueueRun(tx: UnitOfWork, { id, kind }: Pick<ImportRecord, "id" | "kind">): void {
  enqueue(tx, kind === "lead" ? "imports.run" : "imports.runOfKind", { importId: id }, { key: id });
}

/**
 * Stores the file that comes with a call, then adds the job that reads it in the transaction that records the Idempotency-Key.
 * @throws 403 without the right to make such records, or to change those that there are where it may
 */
export async function importFile(
  ctx: RecordContext,
  runtime: Pick<Runtime, "database" | "organizations">,
  kind: AnyKind,
): Promise<{ id: string; status: string }> {
  const { principal, tx } = ctx.locals;
  const { database, organizations } = runtime;
  const { organizationId } = principal;
  const { fileName, mapping, onDuplicate, dryRun, matchBy, values, delimiter, encoding, ...given } =
    ctx.params as ImportForm;
  requirePermission(principal, `${kind.plural}:create`);
  if (onDuplicate === "update") {
    requirePermission(principal, `${kind.plural}:update`);
    if (sightOf(principal) !== "all") throw mayNotReachAll(kind);
  }
  const own = await organizations.of(organizationId);
  await requireStorage(runtime, organizationId);
  await database.transaction({ organizationId }, (before) => requireRoomFor(before, "imports"));
  const id = await storeUpload(database, (ctx as RecordContext & { stream?: unknown }).stream, {
    organizationId,
    createdBy: principal.userId,
    targets: { ...targetsOf(kind), withheld: withheldFrom(principal, kind) },
    fileName,
    mapping,
    onDuplicate,
    isDryRun: dryRun,
    options: {
      ...{ country: given.country ?? own.country, currency: given.currency ?? own.currency },
      ...{ timeZone: own.timeZone, values },
      ...(mayGiveGuarded(kind, principal) && { isGuardedGiven: true as const }),
      ...(sightOf(principal) !== "all" && { limited: { owner: firstOwner(kind, principal, undefined) } }),
      // nodes of the release before take no batch that names the keys
      ...(matchBy.join() !== defaultKeysOf(kind).join() && { matchBy }),
      ...(delimiter !== undefined && { delimiter }),
      ...(encoding !== undefined && { encoding }),
    },
  });
  try {
    if (!(await submitUpload(tx, id))) throw uploadExpired();
    await requireRoomFor(tx, "imports", { adding: 0 });
  } catch (error) {
    // a repeated Idempotency-Key is found here: the first upload stands, this one goes
    await tx.rollback();
    await discardUpload(database, organizationId, id);
    throw error;
  }
  enqueueRun(tx, { id, kind: kind.name });
  return { id, status: "pending" };
}

/** What a principal may not fill: whose a record is and what it refers to, unless they see all; records that they may not make. */
function withheldFrom(principal: Principal, kind: AnyKind): KindTargets["withheld"] {
  const withheld = new Map<string, string>();
  if (sightOf(principal) !== "all")
    for (const [target, { reading, field }] of targetsOf(kind).targets) {
      if (reading === "user")
        withheld.set(
          target,
          `only who sees all ${kind.plural} may assign by import; map this column to null`,
        );
      if (reading === "reference" || Object.values(field.parts?.of ?? {}).some((part) => part.refersTo))
        withheld.set(
          target,
          "only who sees all records may refer to them by import; map this column to null",
        );
    }
  for (const { relation, keys, target } of associationsOf(kind, kinds))
    if (!can(principal, `${target.plural}:create`))
      for (const key of keys)
        withheld.set(
          `${relation}.${key}`,
          `without the permission ${target.plural}:create an import may make no ${target.plural}; map this column to null`,
        );
  return withheld;
}

/** Refuses a file to who has as much as the plan allows; the last one may pass the limit. @throws 403 QUOTA_EXCEEDED */
async function requireStorage(
  { database, organizations }: Pick<Runtime, "database" | "organizations">,
  organizationId: string,
): Promise<void> {
  const { plan, limits } = await organizations.of(organizationId);
  const limit = limits.storageBytes;
  if (limit !== null && (await countBytes(database.reader(organizationId))) >= limit)
    throw quotaExceeded("storageBytes", { plan, limit });
}
