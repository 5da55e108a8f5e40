import { Migration } from "@mikro-orm/migrations";
import { tenantTable } from "./row-level-security.ts";

/** Exports, erasures and retention: what was asked for, how far it is, and its receipt. */
export class CreatePrivacy extends Migration {
  override name = "040_create_privacy";
  override up() {
    this.addSql(`
CREATE TABLE privacy_requests (
  id uuid NOT NULL,
  organization_id uuid NOT NULL,
  version integer NOT NULL DEFAULT 1,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  kind text NOT NULL CHECK (kind IN ('export', 'erasure', 'retention')),
  scope text NOT NULL CHECK (scope IN ('person', 'organization')),
  status text NOT NULL DEFAULT 'pending' CHECK (status IN ('pending', 'running', 'completed')),
  -- null: by the clock
  requested_by uuid,
  reason text,
  -- whom it is about, sealed with the organization's key; gone when it is completed
  sealed_person bytea,
  -- rises with each claim: a run of an older one writes nothing
  epoch integer NOT NULL DEFAULT 0,
  -- how far an erasure is
  progress jsonb,
  receipt jsonb,
  archive_bytes bigint,
  archive_sha256 text,
  archive_expires_at timestamptz(3),
  started_at timestamptz(3),
  finished_at timestamptz(3),
  PRIMARY KEY (organization_id, id)
);
CREATE INDEX privacy_requests_by_creation ON privacy_requests (organization_id, created_at, id);
CREATE INDEX privacy_archives ON privacy_requests (archive_expires_at) WHERE archive_expires_at IS NOT NULL;
${tenantTable("privacy_requests", { platform: true })}

-- An archive, cut, each piece sealed with the organization's key.
CREATE TABLE privacy_chunks (
  organization_id uuid NOT NULL,
  request_id uuid NOT NULL,
  position integer NOT NULL,
  sealed bytea STORAGE EXTERNAL NOT NULL,
  PRIMARY KEY (organization_id, request_id, position),
  FOREIGN KEY (organization_id, request_id) REFERENCES privacy_requests (organization_id, id) ON DELETE CASCADE
);
${tenantTable("privacy_chunks", { platform: true })}

-- HMACs of what erased persons were known by: an import must not bring them back.
CREATE TABLE erased_persons (
  organization_id uuid NOT NULL,
  hash bytea NOT NULL,
  erased_at timestamptz(3) NOT NULL,
  PRIMARY KEY (organization_id, hash)
);
${tenantTable("erased_persons")}

-- Days that an organization keeps records, where it chose other than the default.
CREATE TABLE retention_settings (
  organization_id uuid PRIMARY KEY,
  version integer NOT NULL DEFAULT 1,
  -- {"leads.leads": 365}
  days jsonb NOT NULL,
  updated_at timestamptz(3) NOT NULL
);
${tenantTable("retention_settings")}
`);
  }
}
