import type { ServiceBroker } from "moleculer";
import type { Organization } from "../../../entities/control.ts";
import { organizationChanged } from "../../../mixins/organizations/organizations.ts";
import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import type { Runtime } from "../../../mixins/contract/service.ts";
import type { TxtRecords } from "../../../mixins/outbound/txt-records.ts";
import { versionMismatch } from "../../../mixins/contract/errors.ts";
import { enqueue, record, type Ctx, type JobCtx } from "../../contracts.ts";
import { audit } from "../audit-log/audit-log.ts";
import { domainMissing, domainNotProved, domainTaken, emailNotProved, notAUser } from "../identity.errors.ts";
import { getOrganization, getUser } from "../identity.repository.ts";
import { organizationView, proofOfDomain } from "../identity.view.ts";
import type { OrganizationChange, OrganizationView } from "./organization.contract.ts";

/** The organization of the caller. */
export async function getOwnOrganization(ctx: Ctx<"identity.getOrganization">): Promise<OrganizationView> {
  const { tx, principal } = ctx.locals;
  return organizationView(await getOrganization(tx, principal.organizationId));
}

/**
 * Changes settings of the caller's organization. Another domain is to be proved anew. What changes nothing makes no version and no
 * event.
 */
export async function updateOrganization(ctx: Ctx<"identity.updateOrganization">): Promise<OrganizationView> {
  const { tx, principal } = ctx.locals;
  const { expectedVersion, ...settings } = ctx.params;
  const organization = await getOrganization(tx, principal.organizationId, { lock: true });
  const { version } = organization;
  if (expectedVersion !== undefined && expectedVersion !== version) throw versionMismatch(version);
  if (settings.domain !== undefined && settings.domain !== organization.domain)
    organization.domainVerifiedAt = null;
  tx.em.assign(organization, settings);
  await tx.em.flush();
  if (organization.version !== version)
    announce(ctx.broker, tx, organization, {
      type: "organization.updated",
      actorId: principal.userId,
      details: settings,
    });
  return organizationView(organization);
}

/**
 * Proves the domain to be the organization's by a TXT record that only who runs the domain can set. Any number of organizations may
 * claim a domain, one may have it proved.
 * @throws 403 EMAIL_NOT_VERIFIED, 409 DOMAIN_MISSING, DOMAIN_NOT_VERIFIED, DOMAIN_TAKEN, 503 DNS_UNAVAILABLE
 */
export async function verifyDomain(
  { database }: Runtime,
  txt: TxtRecords,
  ctx: Ctx<"identity.verifyDomain">,
): Promise<OrganizationView> {
  const { tx, principal } = ctx.locals;
  const { organizationId, userId } = principal;
  if (userId === null) throw notAUser();
  // a transaction of its own: no connection is held while a name server is waited for
  const [before, user] = await database.transaction({ control: organizationId }, async (first) => [
    await getOrganization(first, organizationId),
    await getUser(first, userId),
  ]);
  if (!user.emailVerifiedAt) throw emailNotProved();
  const { domain } = before;
  if (!domain) throw domainMissing();
  const { name, value } = proofOfDomain(organizationId, domain);
  if (!(await txt.of(name)).includes(value)) throw domainNotProved(name, value);
  const organization = await getOrganization(tx, organizationId, { lock: true });
  if (organization.domain !== domain) throw domainNotProved(name, value);
  if (organization.domainVerifiedAt) return organizationView(organization);
  organization.domainVerifiedAt = tx.now;
  tx.onViolation("organizations_verified_domain", domainTaken);
  await tx.em.flush();
  announce(ctx.broker, tx, organization, {
    type: "organization.domain_verified",
    actorId: userId,
    details: { domain },
  });
  return organizationView(organization);
}

/**
 * Tells of a change of an organization that `tx` makes: the audit log, the organization's feed by a job, because
 * feeds live in the shards, and every process at once.
 */
export function announce(
  broker: ServiceBroker,
  tx: UnitOfWork,
  { id: organizationId, version }: Pick<Organization, "id" | "version">,
  change: { type: OrganizationChange; actorId: string | null; details?: Record<string, unknown> },
): void {
  const { type, actorId, details = {} } = change;
  audit(tx, { type, organizationId, actorId, subjectId: organizationId, details });
  const isPlatform = "platform" in tx.scope;
  enqueue(
    tx,
    "identity.announceChange",
    { type, version, actorId },
    { key: `${version}`, ...(isPlatform ? { organizationId } : {}) },
  );
  tx.afterCommit(() => {
    broker.broadcast(organizationChanged, { organizationId }).catch(() => undefined); // read within a second besides
  });
}

/** Organizations live in the control database, feeds in the shards: a job carries the news. Repeated, it finds its event. */
export async function announceChange(ctx: JobCtx<"identity.announceChange">): Promise<void> {
  const { tx } = ctx.locals;
  const { type, version, actorId } = ctx.params;
  const known = await tx.query({
    text: "SELECT FROM events WHERE entity_id = $1 AND type = $2 AND entity_version = $3 LIMIT 1",
    values: [tx.organizationId, type, version],
  });
  if (known.length > 0) return;
  record(tx, {
    type,
    entity: { kind: "organization", id: tx.organizationId, version },
    actorId,
    audience: null,
    data: { version },
  });
}
