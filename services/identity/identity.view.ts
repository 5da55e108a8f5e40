import type { Organization, User } from "../../entities/control.ts";
import { defaultCurrency } from "../../mixins/contract/currencies.ts";
import { defaultCountry } from "../../mixins/values/phone.ts";
import type { UserView } from "./identity.contract.ts";
import type { OrganizationView } from "./organizations/organization.contract.ts";

const iso = (time: Date | null | undefined): string | null => time?.toISOString() ?? null;

export const userView = (user: User): UserView => ({
  id: user.id,
  name: user.name,
  email: user.email,
  emailVerifiedAt: iso(user.emailVerifiedAt),
  role: user.role,
  isActive: user.isActive,
  lastLoginAt: iso(user.lastLoginAt),
  createdAt: user.createdAt.toISOString(),
  updatedAt: user.updatedAt.toISOString(),
  version: user.version,
});

/** A row of control.users as a list reads it; columns nobody asked for are absent. */
export interface UserRow {
  id: string;
  name?: string;
  email?: string;
  email_verified_at?: string | null;
  role?: string;
  is_active?: boolean;
  last_login_at?: string | null;
  created_at?: string;
  updated_at?: string;
  version?: number;
}
export const userRowView = (row: UserRow): Partial<UserView> & { id: string } => ({
  id: row.id,
  name: row.name,
  email: row.email,
  emailVerifiedAt: row.email_verified_at,
  role: row.role,
  isActive: row.is_active,
  lastLoginAt: row.last_login_at,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  version: row.version,
});

/** The TXT record by which an organization proves that a domain is its own. */
export const proofOfDomain = (organizationId: string, domain: string): { name: string; value: string } => ({
  name: `_sangam.${domain}`,
  value: `sangam-organization=${organizationId}`,
});

export const organizationView = (organization: Organization): OrganizationView => ({
  id: organization.id,
  name: organization.name,
  domain: organization.domain ?? null,
  domainVerifiedAt: iso(organization.domainVerifiedAt),
  domainVerification: organization.domain ? proofOfDomain(organization.id, organization.domain) : null,
  timezone: organization.timezone,
  country: organization.country ?? defaultCountry,
  currency: organization.currency ?? defaultCurrency,
  plan: organization.plan,
  dataRegion: organization.dataRegion,
  trialEndsAt: iso(organization.trialEndsAt),
  suspendedAt: iso(organization.suspendedAt),
  deletionDueAt: iso(organization.deletionDueAt),
  createdAt: organization.createdAt.toISOString(),
  updatedAt: organization.updatedAt.toISOString(),
  version: organization.version,
});
