import { defineEntity, p, type InferEntity } from "@mikro-orm/postgresql";
import { tenantColumns } from "./columns.ts";

/** A tenant. Its id decides its shard. */
export const Organization = defineEntity({
  name: "Organization",
  tableName: "organizations",
  schema: "control",
  properties: {
    id: p.uuid().primary(),
    name: p.string(),
    domain: p.string().nullable(),
    /** Since when the domain is proved to be the organization's; one organization may have it so. */
    domainVerifiedAt: p.datetime(3).nullable(),
    plan: p.string().default("trial"),
    dataRegion: p.string().default("default"),
    trialEndsAt: p.datetime(3).nullable(),
    /** IANA name. */
    timezone: p.string().default("UTC"),
    /** Of phones that are written without one; ISO 3166-1. Null: the installation's. */
    country: p.string().nullable(),
    currency: p.string().nullable(),
    suspendedAt: p.datetime(3).nullable(),
    suspendedBecause: p.string().nullable(),
    /** When everything of it is erased; until then it can be restored. */
    deletionDueAt: p.datetime(3).nullable(),
    deletionRequestedBy: p.uuid().nullable(),
    /** Since when there is no way back. */
    erasingAt: p.datetime(3).nullable(),
    settings: p.json<Record<string, unknown>>().default("{}"),
    version: p.integer().version().default(1),
    createdAt: p.datetime(3),
    updatedAt: p.datetime(3).onUpdate(() => new Date()),
  },
});
export type Organization = InferEntity<typeof Organization>;

export const User = defineEntity({
  name: "User",
  tableName: "users",
  schema: "control",
  properties: {
    ...tenantColumns,
    name: p.string(),
    /** Lowercased; one user an organization. */
    email: p.string(),
    /** Since when the address is proved to be the user's; one user of the platform may have it so. */
    emailVerifiedAt: p.datetime(3).nullable(),
    role: p.string(),
    /** PHC string of argon2id. */
    passwordHash: p.string(),
    isActive: p.boolean().default(true),
    lastLoginAt: p.datetime(3).nullable(),
  },
});
export type User = InferEntity<typeof User>;

/** A family of refresh tokens, of which only the newest works. */
export const Session = defineEntity({
  name: "Session",
  tableName: "sessions",
  schema: "control",
  properties: {
    ...tenantColumns,
    userId: p.uuid(),
    /** SHA-256 of the only refresh token that works. */
    refreshHash: p.string(),
    userAgent: p.string().nullable(),
    ip: p.string().nullable(),
    lastUsedAt: p.datetime(3),
    expiresAt: p.datetime(3),
    revokedAt: p.datetime(3).nullable(),
    /** logout | reuse | revoked | deactivated | role_changed | password_reset | password_changed | mfa_reset */
    revokedBecause: p.string().nullable(),
  },
});
export type Session = InferEntity<typeof Session>;
