import { Readable } from "node:stream";
import { v7 as uuidv7 } from "uuid";
import { can, type Principal } from "../../mixins/access/principal.ts";
import { requireSight } from "../../mixins/access/reach.ts";
import { forbidden } from "../../mixins/contract/errors.ts";
import { requireRoomFor } from "../../mixins/organizations/limits.ts";
import { kinds } from "../../mixins/records/kind/kinds.ts";
import { readPage } from "../../mixins/records/finding/page.ts";
import { emailMark, nobody, phoneMark, subjectIds, type Person } from "../../mixins/privacy/personal-data.ts";
import { enqueue, record, type Ctx, type Result } from "../contracts.ts";
import { readArchive } from "./archive.repository.ts";
import { auditLater } from "./audit.ts";
import { requestListing, type RequestView } from "./privacy.contract.ts";
import { archiveGone, archiveNotReady, requestNotFound, unknownSubject } from "./privacy.errors.ts";
import {
  findRequest,
  insertRequest,
  requestView,
  type NewRequest,
  type RequestRow,
} from "./requests.repository.ts";
import { lookUp, sealPerson, type PrivacyParts } from "./run.ts";

type Creating = Ctx<"privacy.createExport"> | Ctx<"privacy.createErasure">;

/**
 * An archive holds what anybody's records say, and sensitive values too. A person's records are not known before the end, so
 * it does not help that those which are known now may be seen.
 */
function requireMayRead(principal: Principal): void {
  requireSight(principal, "everybody");
  for (const { plural, fields } of kinds.values())
    if ("customFields" in fields && !can(principal, `${plural}:sensitive`))
      throw forbidden(`${plural}:sensitive`);
}

/** Takes an export; a job makes its archive. */
export async function createExport(
  ctx: Ctx<"privacy.createExport">,
  node: PrivacyParts,
): Promise<RequestView> {
  requireMayRead(ctx.locals.principal);
  const row = await create(ctx, node, {
    kind: "export",
    scope: ctx.params.scope ?? "person",
    reason: null,
  });
  enqueue(ctx.locals.tx, "privacy.export", { requestId: row.id }, { key: row.id });
  return requestView(row);
}

/** Takes an erasure; a job erases the person. */
export async function createErasure(
  ctx: Ctx<"privacy.createErasure">,
  node: PrivacyParts,
): Promise<RequestView> {
  requireSight(ctx.locals.principal, "everybody");
  const row = await create(ctx, node, { kind: "erasure", scope: "person", reason: ctx.params.reason });
  enqueue(ctx.locals.tx, "privacy.erase", { requestId: row.id }, { key: row.id });
  return requestView(row);
}

async function create(
  ctx: Creating,
  node: PrivacyParts,
  about: Pick<NewRequest, "kind" | "scope" | "reason">,
): Promise<RequestRow> {
  const { tx, principal } = ctx.locals;
  const person = personOf(ctx.params);
  const isLookedUp = ctx.params.subject !== undefined || about.kind === "erasure";
  const found = isLookedUp ? await lookUp(node, tx.organizationId, person) : nobody;
  // an email may be one that nobody has yet, for an erasure keeps it out; a record is there or not
  if (ctx.params.subject && found.subjects.length === 0) throw unknownSubject();
  const userIds = subjectIds(found, "user");
  if (about.kind === "erasure" && userIds.length > 0)
    await ctx.call("identity.requireMayChange", { ids: userIds });
  const cipher = await node.keys.of(tx.organizationId);
  await requireRoomFor(tx, "privacyRequests");
  const id = uuidv7();
  const sealedPerson = about.scope === "person" ? sealPerson(cipher, id, person) : null;
  const row = await insertRequest(tx, { ...about, id, requestedBy: principal.userId, sealedPerson });
  if (!row) throw new Error("A request was written and not answered");
  record(tx, {
    type: "privacy.requested",
    entity: { kind: "privacy", id, version: row.version },
    actorId: principal.userId,
    audience: null,
    data: { kind: about.kind, scope: about.scope },
  });
  const type = about.kind === "export" ? "privacy.export_requested" : "privacy.erasure_requested";
  auditLater(tx, { type, actorId: principal.userId, subjectId: id });
  return row;
}

function personOf({ email, phone, subject }: Creating["params"]): Person {
  return {
    ...nobody,
    emails: email === undefined ? [] : [email],
    phones: phone === undefined ? [] : [phone],
    subjects: subject === undefined ? [] : [subject],
    marks: [
      ...(email === undefined ? [] : [emailMark(email)]),
      ...(phone === undefined ? [] : [phoneMark(phone)]),
    ],
  };
}

/** A page of requests. */
export async function listRequests(
  ctx: Ctx<"privacy.listRequests">,
): Promise<Result<"privacy.listRequests">> {
  return readPage(ctx.locals.tx, requestListing, ctx.params, requestView);
}

/** One request. */
export async function getRequest(ctx: Ctx<"privacy.getRequest">): Promise<RequestView> {
  const row = await findRequest(ctx.locals.tx, ctx.params.id);
  if (!row) throw requestNotFound();
  return requestView(row);
}

/** Streams an archive to somebody who could ask for it now. @throws 404, 409 before it is made, 410 when it has expired */
export async function downloadArchive(
  ctx: Ctx<"privacy.downloadArchive">,
  node: PrivacyParts,
): Promise<NodeJS.ReadableStream> {
  const { tx, principal } = ctx.locals;
  const { organizationId } = tx;
  requireMayRead(principal);
  const row = await findRequest(tx, ctx.params.id);
  if (row?.kind !== "export") throw requestNotFound();
  if (row.status !== "completed") throw archiveNotReady();
  const { id, archive } = requestView(row);
  if (!archive || archive.expiresAt <= tx.now.toISOString()) throw archiveGone();
  const cipher = await node.keys.of(organizationId);
  await node.database.transaction({ organizationId }, (own) =>
    Promise.resolve(
      auditLater(own, { type: "privacy.archive_downloaded", actorId: principal.userId, subjectId: id }),
    ),
  );
  return Readable.from(readArchive(node.database, organizationId, cipher, { id, bytes: archive.bytes }), {
    objectMode: false,
  });
}
