import { versionMismatch } from "../../mixins/errors.ts";
import type { Ctx } from "../contracts.ts";
import type { OrganizationView } from "./identity.contract.ts";
import { getOrganization } from "./identity.repository.ts";
import { organizationView } from "./identity.view.ts";

/** The organization of the caller. */
export async function getOwnOrganization(ctx: Ctx<"identity.getOrganization">): Promise<OrganizationView> {
  const { tx, actor } = ctx.locals;
  return organizationView(await getOrganization(tx, actor.organizationId));
}

/** Renames the organization of the caller. */
export async function updateOrganization(ctx: Ctx<"identity.updateOrganization">): Promise<OrganizationView> {
  const { tx, actor } = ctx.locals;
  const { name, expectedVersion } = ctx.params;
  const organization = await getOrganization(tx, actor.organizationId, { lock: true });
  if (expectedVersion !== undefined && expectedVersion !== organization.version)
    throw versionMismatch(organization.version);
  organization.name = name;
  await tx.em.flush();
  return organizationView(organization);
}
