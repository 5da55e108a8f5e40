import { v7 as uuidv7 } from "uuid";
import type { Meta } from "../../mixins/contract/meta.ts";
import type { Role } from "../../mixins/access/principal.ts";
import { inspect } from "./database.ts";
import type { TestNode } from "./node.ts";

/** An organization and its users, by the name given to each. */
export interface TestOrganization<N extends string = string> {
  id: string;
  /** Meta of a call by this user. */
  as(name: N | "admin"): Meta;
  userId(name: N | "admin"): string;
}

/** Puts an organization with an admin and these users straight into the control database. */
export async function makeOrganization<N extends string>(
  node: TestNode,
  users: Record<N, Role> = {} as Record<N, Role>,
): Promise<TestOrganization<N>> {
  const control = node.databases[0] as string;
  const id = uuidv7();
  const people = Object.entries<Role>({ admin: "admin", ...users }).map(([name, role]) => ({
    name,
    role,
    id: uuidv7(),
  }));
  await inspect(
    control,
    `INSERT INTO control.organizations (id, name, created_at, updated_at) VALUES ($1, 'Test', now(), now())`,
    [id],
  );
  await inspect(
    control,
    `INSERT INTO control.users (organization_id, id, name, email, role, password_hash, created_at, updated_at)
     SELECT $1, u.id, u.name, u.id || '@example.com', u.role, '', now(), now()
     FROM json_to_recordset($2) AS u (id uuid, name text, role text)`,
    [id, JSON.stringify(people)],
  );
  const find = (name: string) => people.find((user) => user.name === name) as (typeof people)[number];
  return {
    id,
    as: (name) => ({ organizationId: id, userId: find(name).id, role: find(name).role }),
    userId: (name) => find(name).id,
  };
}

/** URL of the database that holds an organization's rows. */
export function shardUrl(node: TestNode, organizationId: string): string {
  const index = node.runtime.database.shards.indexOf(node.runtime.database.shardOf(organizationId));
  return node.databases[index] as string;
}
