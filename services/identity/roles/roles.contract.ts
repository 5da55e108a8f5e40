import { z } from "zod";
import { reaches, roles } from "../../../mixins/access/principal.ts";
import { action } from "../../../mixins/contract/contract.ts";
import { pageParams } from "../../../mixins/records/finding/listing.ts";
import { expectedVersion, nameText, pageOf, timestamp } from "../../../mixins/contract/schemas.ts";

/** A built-in role's name, or the id of a custom role; whether there is such a role, the action finds out. */
export const roleInput = z.union([
  z.enum(roles),
  z
    .string()
    .toLowerCase()
    .pipe(z.uuid({ error: `must be ${roles.join(", ")} or the id of a custom role` })),
]);

const role = z
  .strictObject({
    /** What users and invitations name it by; of a built-in role, its name. */
    id: z.string(),
    name: z.string(),
    permissions: z.array(z.string()),
    /** Whose records: those assigned to the user, those of the teams the user manages too, or all. */
    sees: z.enum(reaches),
    isBuiltIn: z.boolean(),
    /** null of a built-in role, as are `updatedAt` and `version`. */
    createdAt: timestamp.nullable(),
    updatedAt: timestamp.nullable(),
    version: z.number().int().nullable(),
  })
  .meta({ id: "Role" });
export type RoleView = z.output<typeof role>;

const byRole = { role: z.string().max(36) };
const roleFields = {
  name: nameText(100),
  permissions: z.array(z.string().max(100)).max(200),
  sees: z.enum(reaches),
};

export const roleActions = {
  listRoles: action({
    summary: "The built-in roles and the organization's own, by name",
    params: z.strictObject(pageParams),
    returns: pageOf(role),
    reads: true,
    permission: "roles:read",
    rest: "GET /roles",
  }),
  createRole: action({
    summary: "Makes a role of permissions the caller has",
    params: z.strictObject({ ...roleFields, sees: roleFields.sees.default("own") }),
    returns: role,
    permission: "roles:create",
    rest: "POST /roles",
    status: 201,
  }),
  getRole: action({
    summary: "One role",
    params: z.strictObject(byRole),
    returns: role,
    reads: true,
    permission: "roles:read",
    rest: "GET /roles/:role",
  }),
  updateRole: action({
    summary: "Changes a role of the organization; its users have the new rights within two seconds",
    params: z
      .strictObject(roleFields)
      .partial()
      .extend({ ...byRole, expectedVersion }),
    returns: role,
    permission: "roles:update",
    rest: "PATCH /roles/:role",
  }),
  deleteRole: action({
    summary: "Deletes a role that no user and no invitation has",
    params: z.strictObject({ ...byRole, expectedVersion }),
    returns: z.null(),
    permission: "roles:delete",
    rest: "DELETE /roles/:role",
    status: 204,
  }),
};
