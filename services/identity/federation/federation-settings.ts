import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import type { Ctx, Result } from "../../contracts.ts";
import { audit } from "../audit-log/audit-log.ts";
import { everybodysRole, requireCovered, requireGrantable } from "../roles/roles.repository.ts";
import type { SamlSettings } from "./federation-settings.contract.ts";

/** How an organization lets its users sign in with providers. */
export interface FederationSettings {
  linksByEmail: boolean;
  saml: SamlSettings | null;
}

/** What an organization has set, or the defaults. */
export async function findFederation(tx: UnitOfWork, organizationId: string): Promise<FederationSettings> {
  const [row] = await tx.query<{ links_by_email: boolean; saml: SamlSettings | null }>({
    name: "find_federation",
    text: "SELECT links_by_email, saml FROM control.federation_settings WHERE organization_id = $1",
    values: [organizationId],
  });
  return { linksByEmail: row?.links_by_email ?? false, saml: row?.saml ?? null };
}

/** The settings of the caller's organization. */
export const getFederation = (
  ctx: Ctx<"identity.getFederation">,
): Promise<Result<"identity.getFederation">> => findFederation(ctx.locals.tx, ctx.locals.tx.organizationId);

/**
 * Replaces the settings of the caller's organization. Whoever runs a provider can sign in as those it vouches for, so the
 * caller's role must permit what theirs do: those of before and those of now.
 */
export async function replaceFederation(
  ctx: Ctx<"identity.replaceFederation">,
): Promise<Result<"identity.replaceFederation">> {
  const { tx, principal } = ctx.locals;
  const { linksByEmail, saml } = ctx.params;
  const { organizationId } = tx;
  for (const role of rolesConcerned(await findFederation(tx, organizationId)))
    await requireCovered(tx, principal, role);
  for (const role of rolesConcerned({ linksByEmail, saml })) await requireGrantable(tx, principal, role);
  await tx.execute({
    name: "replace_federation",
    text: `INSERT INTO control.federation_settings (organization_id, links_by_email, saml, updated_at)
      VALUES ($1, $2, $3, $4)
      ON CONFLICT (organization_id) DO UPDATE SET links_by_email = excluded.links_by_email, saml = excluded.saml,
        updated_at = excluded.updated_at`,
    values: [organizationId, linksByEmail, saml && JSON.stringify(saml), tx.now],
  });
  const details = { linksByEmail, samlIdpEntityId: saml?.idpEntityId ?? null };
  const changed = { organizationId, actorId: principal.userId, subjectId: organizationId, details };
  audit(tx, { type: "federation.configured", ...changed });
  return { linksByEmail, saml };
}

/** Roles as whose users somebody could sign in who runs a provider under these settings. */
function rolesConcerned({ linksByEmail, saml }: FederationSettings): readonly string[] {
  if (linksByEmail) return [everybodysRole];
  return saml ? (saml.roles ?? [everybodysRole]) : [];
}
