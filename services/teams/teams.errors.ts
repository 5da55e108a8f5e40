import { appError, conflict, invalidField } from "../../mixins/contract/errors.ts";

export const teamNotFound = () => appError(404, "TEAM_NOT_FOUND", "There is no such team.");
export const teamNameTaken = () => conflict("TEAM_NAME_TAKEN", "Another team has this name.");
export const unknownMember = (path: string) =>
  invalidField(path, "not_found", "is not an active user of the organization");
