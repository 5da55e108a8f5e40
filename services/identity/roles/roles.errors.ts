import { appError, conflict, invalid, invalidField } from "../../../mixins/contract/errors.ts";

export const roleNotFound = () => appError(404, "ROLE_NOT_FOUND", "There is no such role.");
export const roleNameTaken = () => conflict("ROLE_NAME_TAKEN", "Another role has this name.");
export const roleBuiltIn = () => conflict("ROLE_BUILT_IN", "Built-in roles stay as they are.");
export const roleInUse = () =>
  conflict("ROLE_IN_USE", "Users or invitations have this role; give them another.");
export const unknownRole = () => invalidField("role", "unknown_role", "is no role of the organization");
export const mayNotGrantReach = () => invalidField("sees", "not_grantable", "is more than you see yourself");
/** @param refused by place in the list */
export const refusedPermissions = (refused: readonly { index: number; isKnown: boolean }[]) =>
  invalid(
    refused.map(({ index, isKnown }) => ({
      path: `permissions.${index}`,
      code: isKnown ? "not_grantable" : "unknown_permission",
      message: isKnown ? "is no permission of yours" : "is no permission",
    })),
  );
