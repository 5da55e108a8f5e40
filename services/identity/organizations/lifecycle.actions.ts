import type { Organization } from "../../../entities/control.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import { forbidden, versionMismatch } from "../../../mixins/contract/errors.ts";
import { organizationSuspended } from "../../../mixins/organizations/organizations.ts";
import type { Runtime } from "../../../mixins/contract/service.ts";
import type { Database } from "../../../mixins/database/database.ts";
import { enqueue, type Ctx, type JobCtx, type Result } from "../../contracts.ts";
import {
  deletionNotScheduled,
  noDeletion,
  invalidCredentials,
  mfaRequired,
  notAUser,
} from "../identity.errors.ts";
import type { SignedIn } from "../identity.contract.ts";
import { getOrganization, getUser } from "../identity.repository.ts";
import { organizationView } from "../identity.view.ts";
import { announce } from "./organization.actions.ts";
import type { OrganizationChange, OrganizationView } from "./organization.contract.ts";
import { everybodysRole, requireCovered } from "../roles/roles.repository.ts";
import { isPassword } from "../sign-in/passwords.ts";
import { findFactor, seedKeys, useCode } from "../second-factor/second-factor.repository.ts";
import { signIn, type SignInParts } from "../sign-in/sign-in.actions.ts";
import { countFailure, requireRoom, secondFactorCounters } from "../sign-in/throttle.ts";

const restorableMs = 30 * 24 * 3_600_000;

/** Suspends an organization, for the platform. Suspended, it stays as it is. */
export const suspendOrganization = (
  runtime: Runtime,
  ctx: Ctx<"identity.suspendOrganization">,
): Promise<OrganizationView> =>
  change(runtime, ctx, "organization.suspended", { reason: ctx.params.reason }, (organization, tx) => {
    if (organization.suspendedAt) return false;
    organization.suspendedAt = tx.now;
    organization.suspendedBecause = ctx.params.reason;
    return true;
  });

/** Ends a suspension; what waited goes on. One about to be deleted stays so. */
export const resumeOrganization = (
  runtime: Runtime,
  ctx: Ctx<"identity.resumeOrganization">,
): Promise<OrganizationView> =>
  change(runtime, ctx, "organization.resumed", {}, (organization, tx) => {
    if (!organization.suspendedAt) return false;
    organization.suspendedAt = null;
    organization.suspendedBecause = null;
    wake(tx, organization.id);
    return true;
  });

/** Puts an organization on a plan; a trial ends with it. */
export const setPlan = (runtime: Runtime, ctx: Ctx<"identity.setPlan">): Promise<OrganizationView> =>
  change(runtime, ctx, "organization.plan_changed", { plan: ctx.params.plan }, (organization) => {
    if (organization.plan === ctx.params.plan) return false;
    organization.plan = ctx.params.plan;
    return true;
  });

/** @param apply changes the locked organization; answers whether it did */
function change(
  { database }: Runtime,
  ctx: Pick<Ctx<"identity.suspendOrganization">, "broker"> & { params: { organizationId: string } },
  type: OrganizationChange,
  details: Record<string, unknown>,
  apply: (organization: Organization, tx: UnitOfWork) => boolean,
): Promise<OrganizationView> {
  // the caller is the system, and so in no organization
  return database.transaction({ platform: database.control }, async (tx) => {
    const organization = await getOrganization(tx, ctx.params.organizationId, { lock: true });
    if (apply(organization, tx)) {
      await tx.em.flush();
      announce(ctx.broker, tx, organization, { type, actorId: null, details });
    }
    return organizationView(organization);
  });
}

/**
 * Schedules the end of the caller's organization, which is suspended from now on. It ends for everybody, so the caller's
 * role must permit all. Asked for again, the time stays.
 */
export async function deleteOrganization(
  runtime: Runtime,
  ctx: Ctx<"identity.deleteOrganization">,
): Promise<OrganizationView> {
  const { tx, principal } = ctx.locals;
  await requireCovered(tx, principal, everybodysRole);
  await requireProof(runtime, ctx);
  const organization = await getOrganization(tx, principal.organizationId, { lock: true });
  const { expectedVersion } = ctx.params;
  if (expectedVersion !== undefined && expectedVersion !== organization.version)
    throw versionMismatch(organization.version);
  if (!organization.deletionDueAt) {
    organization.deletionDueAt = new Date(tx.now.getTime() + restorableMs);
    organization.deletionRequestedBy = principal.userId;
    await tx.em.flush();
    announce(ctx.broker, tx, organization, {
      type: "organization.deletion_scheduled",
      actorId: principal.userId,
      details: { deletionDueAt: organization.deletionDueAt.toISOString() },
    });
  }
  return organizationView(organization);
}

/** How far the end of the caller's organization is. @throws 404 when there is none to come */
export async function getDeletion(ctx: Ctx<"identity.getDeletion">): Promise<Result<"identity.getDeletion">> {
  const { tx, principal } = ctx.locals;
  const { id, deletionDueAt, erasingAt } = await getOrganization(tx, principal.organizationId);
  if (!deletionDueAt) throw noDeletion();
  return { id, status: erasingAt ? "erasing" : "scheduled", deletionDueAt: deletionDueAt.toISOString() };
}

/** Lets the caller prove to be who the token says: password, and second factor if it is on. */
async function requireProof(runtime: Runtime, ctx: Ctx<"identity.deleteOrganization">): Promise<void> {
  const { tx, principal } = ctx.locals;
  const { userId, organizationId } = principal;
  if (userId === null || principal.scopes !== undefined) throw notAUser();
  const { database } = runtime;
  const keys = await seedKeys(runtime, organizationId);
  const counters = secondFactorCounters(userId);
  // a transaction of its own: no connection is held while the password is compared
  const user = await database.transaction({ platform: database.control }, async (before) => {
    await requireRoom(before, counters);
    return getUser(before, userId);
  });
  const { password, totp: code = "" } = ctx.params;
  const isRight = await isPassword(password, user.isActive ? user.passwordHash : undefined);
  const factor = isRight ? await findFactor(tx, userId) : null;
  if (factor?.isConfirmed && code === "") throw mfaRequired();
  if (!isRight || (factor?.isConfirmed && !(await useCode(tx, keys, { userId, factor, code })))) {
    await tx.rollback();
    const failure = { organizationId, actorId: userId, subjectId: userId };
    await countFailure(database, counters, { type: "user.sign_in_failed", ...failure });
    throw invalidCredentials();
  }
}

/** Calls the deletion off while there is something left, by the sign-in of an admin. */
export const restoreOrganization = (
  parts: SignInParts,
  ctx: Ctx<"identity.restoreOrganization">,
): Promise<SignedIn> =>
  signIn(parts, ctx, async (tx, user) => {
    if (user.role !== "admin") throw forbidden("organization:delete");
    const organization = await getOrganization(tx, user.organizationId, { lock: true });
    if (!organization.deletionDueAt || organization.erasingAt) throw deletionNotScheduled();
    organization.deletionDueAt = null;
    organization.deletionRequestedBy = null;
    await tx.em.flush();
    wake(tx, organization.id);
    announce(ctx.broker, tx, organization, { type: "organization.restored", actorId: user.id });
  });

/** The tx is the platform's: it sees other organizations, so a job of its own wakes theirs. */
const wake = (tx: UnitOfWork, organizationId: string): void =>
  enqueue(tx, "identity.wakeJobs", { organizationId }, { key: organizationId });

/** Lets the jobs of an organization run that waited; again while it is suspended, they only wait on. */
export const wakeJobs = (ctx: JobCtx<"identity.wakeJobs">, database: Database): Promise<void> =>
  database.eachShard((shard) =>
    database.transaction(shard, (tx) =>
      tx.query({
        text: "SELECT wake_jobs($1, $2)",
        values: [ctx.params.organizationId, organizationSuspended],
      }),
    ),
  );
