import { requireTrustedClock } from "../../mixins/concurrency/clock-watch.ts";
import { v7 as uuidv7 } from "uuid";
import type { Database } from "../../mixins/database/database.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { versionMismatch } from "../../mixins/contract/errors.ts";
import { requireSight } from "../../mixins/access/reach.ts";
import type { RetentionSpec } from "../../mixins/privacy/personal-data.ts";
import { enqueue, record, type Ctx, type JobCtx, type Result } from "../contracts.ts";
import { auditLater } from "./audit.ts";
import { isFenced, retentionInvalid } from "./privacy.errors.ts";
import { claimRequest, completeRequest, deleteRequest, insertRequest } from "./requests.repository.ts";
import { partsOf, receiptParts, type Part } from "./parts.ts";
import { Run, type PrivacyParts } from "./run.ts";

const organizationsAtOnce = 1_000;
const dayMs = 86_400_000;

/** A kind of data with the bounds of how long it may be kept. */
export type KeptPart = Part & { retention: RetentionSpec };

/**
 * The kinds of data with a retention. Events are dropped by the month for all organizations alike as well: none can keep
 * them longer than that.
 */
export function keptParts(node: PrivacyParts): KeptPart[] {
  return partsOf(node.contracts).flatMap((part) => {
    const { retention } = part.spec;
    if (!retention) return [];
    if (part.name !== "events.events") return [{ ...part, retention }];
    const most = node.eventsRetentionDays;
    return [{ ...part, retention: { default: most, least: Math.min(retention.least, most), most } }];
  });
}

interface Settings {
  days: Record<string, number>;
  version: number;
}
async function readSettings(tx: UnitOfWork): Promise<Settings> {
  const [row] = await tx.query<{ days: Record<string, number>; version: number }>({
    text: "SELECT days, version FROM retention_settings",
  });
  return row ?? { days: {}, version: 0 };
}

const daysOf = ({ name, retention }: KeptPart, { days }: Settings): number =>
  Math.min(days[name] ?? retention.default, retention.most);

/** How long each kind is kept. */
export async function getRetention(
  ctx: Ctx<"privacy.getRetention">,
  node: PrivacyParts,
): Promise<Result<"privacy.getRetention">> {
  const settings = await readSettings(ctx.locals.tx);
  return {
    data: keptParts(node).map((part) => ({
      part: part.name,
      days: daysOf(part, settings),
      least: part.retention.least,
      most: part.retention.most,
      summary: part.spec.summary,
    })),
    version: settings.version,
  };
}

/** Changes how long some kinds are kept. @throws 412, 422 for a kind without retention, or outside its bounds */
export async function setRetention(
  ctx: Ctx<"privacy.setRetention">,
  node: PrivacyParts,
): Promise<Result<"privacy.setRetention">> {
  const { tx, principal } = ctx.locals;
  const { days: changes, expectedVersion } = ctx.params;
  // it erases anybody's records
  requireSight(principal, "everybody");
  const kept = new Map(keptParts(node).map((part) => [part.name, part.retention]));
  for (const [part, days] of Object.entries(changes)) {
    const bounds = kept.get(part);
    if (!bounds) throw retentionInvalid(part, `must be one of ${[...kept.keys()].join(", ")}`);
    if (days !== null && (days < bounds.least || days > bounds.most))
      throw retentionInvalid(part, `must be ${bounds.least} to ${bounds.most} days`);
  }
  await tx.execute({
    text: `INSERT INTO retention_settings (organization_id, version, days, updated_at) VALUES ($1, 0, '{}', $2)
      ON CONFLICT DO NOTHING`,
    values: [tx.organizationId, tx.now],
  });
  const [row] = await tx.query<{ days: Record<string, number>; version: number }>({
    text: "SELECT days, version FROM retention_settings FOR UPDATE",
  });
  const before = row ?? { days: {}, version: 0 };
  if (expectedVersion !== undefined && expectedVersion !== before.version)
    throw versionMismatch(before.version);
  const days = Object.fromEntries(
    Object.entries({ ...before.days, ...changes }).flatMap(([part, value]) =>
      value === null ? [] : [[part, value]],
    ),
  );
  const version = before.version + 1;
  tx.defer({
    text: "UPDATE retention_settings SET days = $1, version = $2, updated_at = $3",
    values: [JSON.stringify(days), version, tx.now],
  });
  record(tx, {
    type: "retention.changed",
    entity: { kind: "retention", id: tx.organizationId, version },
    actorId: principal.userId,
    audience: null,
    data: { version },
  });
  auditLater(tx, { type: "privacy.retention_changed", actorId: principal.userId, subjectId: null });
  return { days, version };
}

/** Adds the daily job of every organization, and forgets archives that have expired. */
export async function findRetention(
  _ctx: JobCtx<"privacy.findRetention">,
  database: Database,
): Promise<void> {
  await database.transaction({ platform: database.control }, requireTrustedClock);
  for (let after = "00000000-0000-0000-0000-000000000000"; ;) {
    const from = after;
    const ids = await database.transaction({ platform: database.control }, async (tx) => {
      const rows = await tx.query<{ id: string }>({
        text: `SELECT id FROM control.organizations WHERE id > $1 ORDER BY id LIMIT ${organizationsAtOnce}`,
        values: [from],
      });
      for (const { id } of rows)
        enqueue(tx, "privacy.retain", { requestId: uuidv7() }, { key: "daily", organizationId: id });
      return rows.map(({ id }) => id);
    });
    if (ids.length < organizationsAtOnce) break;
    after = ids.at(-1) ?? after;
  }
  await database.eachShard((shard) => database.transaction(shard, forgetExpiredArchives));
}

async function forgetExpiredArchives(tx: UnitOfWork): Promise<void> {
  await tx.execute({
    text: `WITH expired AS (
        UPDATE privacy_requests SET archive_bytes = NULL, archive_sha256 = NULL, archive_expires_at = NULL,
          version = version + 1, updated_at = now()
        WHERE archive_expires_at <= now() RETURNING organization_id, id
      ) DELETE FROM privacy_chunks c USING expired e WHERE (c.organization_id, c.request_id) = (e.organization_id, e.id)`,
  });
}

/** Erases what has been kept long enough; a run that erased something leaves a receipt. */
export async function runRetention(ctx: JobCtx<"privacy.retain">, node: PrivacyParts): Promise<void> {
  const { tx } = ctx.locals;
  const { organizationId } = tx;
  const { requestId } = ctx.params;
  await node.database.transaction({ organizationId }, requireTrustedClock);
  const begun = await node.database.transaction({ organizationId }, async (own) => {
    await insertRequest(own, {
      id: requestId,
      kind: "retention",
      scope: "organization",
      requestedBy: null,
      reason: null,
      sealedPerson: null,
    });
    const claim = await claimRequest(own, requestId);
    return claim && { claim, settings: await readSettings(own) };
  });
  if (!begun) return;
  const { claim, settings } = begun;
  const run = new Run(node, organizationId, claim);
  const parts = keptParts(node);
  const from = Date.parse(claim.created_at);
  try {
    const isThrough = await run.walk(parts, (part, after, step) => {
      const before = new Date(from - daysOf(part as KeptPart, settings) * dayMs).toISOString();
      return run.ask(part.name, "expire", { before, after }, step);
    });
    if (!isThrough) {
      enqueue(tx, "privacy.retain", { requestId }, { key: requestId });
      return;
    }
  } catch (error) {
    if (isFenced(error)) return;
    throw error;
  }
  const receipt = receiptParts(parts, run.progress);
  if (receipt.every(({ count }) => count === 0)) {
    await deleteRequest(tx, claim);
    return;
  }
  const done = await completeRequest(tx, claim, { parts: receipt });
  if (!done) return;
  record(tx, {
    type: "privacy.completed",
    entity: { kind: "privacy", id: requestId, version: done.version },
    actorId: null,
    audience: null,
    data: { kind: "retention", parts: receipt },
  });
}
