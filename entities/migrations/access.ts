import { Migration } from "@mikro-orm/migrations";
import { tenantTable } from "./row-level-security.ts";

/** Roles that organizations make; users and invitations name them by id. For the control database. */
export class CreateRoles extends Migration {
  override name = "040_create_roles";
  override up() {
    this.addSql(`
CREATE TABLE control.roles (
  id uuid PRIMARY KEY,
  organization_id uuid NOT NULL REFERENCES control.organizations (id) ON DELETE CASCADE,
  name text NOT NULL,
  permissions text[] NOT NULL,
  sees text NOT NULL CHECK (sees IN ('own', 'team', 'all')),
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  version integer NOT NULL DEFAULT 1
);
CREATE UNIQUE INDEX roles_name ON control.roles (organization_id, lower(name));
${tenantTable("control.roles", { platform: true })}
`);
  }
}

/** Who sees whose records. For shards, beside the records. */
export class CreateTeams extends Migration {
  override name = "041_create_teams";
  override up() {
    this.addSql(`
CREATE TABLE teams (
  organization_id uuid NOT NULL,
  id uuid NOT NULL,
  name text NOT NULL,
  manager_ids uuid[] NOT NULL,
  member_ids uuid[] NOT NULL,
  created_at timestamptz(3) NOT NULL,
  updated_at timestamptz(3) NOT NULL,
  version integer NOT NULL DEFAULT 1,
  PRIMARY KEY (organization_id, id)
);
CREATE UNIQUE INDEX teams_name ON teams (organization_id, lower(name));
${tenantTable("teams", { platform: true })}
`);
  }
}
