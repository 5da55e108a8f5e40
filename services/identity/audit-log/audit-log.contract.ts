import { z } from "zod";
import { action } from "../../../mixins/contract/contract.ts";
import { job } from "../../../mixins/jobs/job-spec.ts";
import { eachKind } from "../../../mixins/records/kind/kinds.ts";
import { listParams, type Listing } from "../../../mixins/records/finding/listing.ts";
import { id, pageOf, timestamp } from "../../../mixins/contract/schemas.ts";

/** Of each kind of record: somebody took records out. */
export const exported = (plural: string) => `${plural}.exported` as const;

const auditTypes = [
  "user.signed_in",
  "user.sign_in_failed",
  "user.invited",
  "user.joined",
  "user.role_changed",
  "user.deactivated",
  "user.activated",
  "user.password_reset",
  "user.password_changed",
  "user.email_verified",
  "session.token_reused",
  "mfa.enabled",
  "mfa.disabled",
  "mfa.reset",
  "identity.linked",
  "identity.unlinked",
  "federation.configured",
  "api_key.created",
  "api_key.revoked",
  "role.created",
  "role.updated",
  "role.deleted",
  "privacy.export_requested",
  "privacy.archive_downloaded",
  "privacy.erasure_requested",
  "privacy.person_erased",
  "privacy.retention_changed",
  "organization.updated",
  "organization.domain_verified",
  "organization.plan_changed",
  "organization.suspended",
  "organization.resumed",
  "organization.deletion_scheduled",
  "organization.restored",
] as const;
export type AuditType = (typeof auditTypes)[number] | ReturnType<typeof exported>;
const allTypes = eachKind(({ plural }) => exported(plural), auditTypes);
const auditType = z.lazy(() => z.enum(allTypes as [AuditType, ...AuditType[]]));

const entry = z
  .strictObject({
    id,
    type: auditType,
    /** Who did it; null where nobody was signed in. */
    actorId: id.nullable(),
    /** Whom or what it was done to. */
    subjectId: id.nullable(),
    ip: z.string().nullable(),
    userAgent: z.string().nullable(),
    details: z.record(z.string(), z.unknown()),
    createdAt: timestamp,
  })
  .meta({ id: "AuditEntry" });
export type AuditEntryView = z.output<typeof entry>;

export const auditListing: Listing = {
  table: "control.audit_log",
  fields: {
    id: "uuid",
    type: "text",
    actorId: "uuid",
    subjectId: "uuid",
    ip: "text",
    userAgent: "text",
    details: "json",
    createdAt: "timestamp",
  },
  filterable: ["type", "actorId", "subjectId", "ip", "createdAt"],
  values: { type: allTypes },
  sortable: ["createdAt"],
  defaultSort: "-createdAt",
};

export const auditActions = {
  noteExport: action({
    summary: "Notes in the audit log that somebody takes records out",
    params: z.strictObject({
      /** Name of their kind. */
      kind: z.string().default("lead"),
      ...{ format: z.string(), filteredBy: z.array(z.string()) },
    }),
    returns: z.null(),
    permission: "reports:export",
  }),
  listAuditLog: action({
    summary: "Lists what happened to the organization's users, sessions and keys",
    params: listParams(auditListing),
    returns: pageOf(entry.partial().extend({ id }).meta({ id: "AuditEntryPart" })),
    reads: true,
    permission: "audit-log:read",
    rest: "GET /audit-log",
  }),
};

export const auditJobs = {
  noteInAuditLog: job({
    summary: "Writes an entry of another service, whose organization lives in a shard, to the audit log",
    payload: z.strictObject({
      id,
      type: auditType,
      actorId: id.nullable(),
      subjectId: id.nullable(),
      at: timestamp,
    }),
  }),
};
