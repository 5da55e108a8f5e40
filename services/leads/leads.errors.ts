import { appError, conflict, invalidField } from "../../mixins/contract/errors.ts";

export const leadAlreadyConverted = () =>
  conflict("LEAD_ALREADY_CONVERTED", "The lead was converted already.");
/** It was deleted while it was about to be changed: sent again, it makes a new one. */
export const leadOvertaken = () =>
  appError(503, "WRITE_CONFLICT", "Another change got in the way; try again.");

export const reminderNotFound = () => appError(404, "REMINDER_NOT_FOUND", "There is no such reminder.");
export const poolNotFound = () => appError(404, "POOL_NOT_FOUND", "There is no such assignment pool.");
export const unknownPool = () => invalidField("poolId", "not_found", "is not an assignment pool");
export const poolEmpty = () => conflict("POOL_EMPTY", "No member of the pool is an active user.");
export const poolNameTaken = () => conflict("POOL_NAME_TAKEN", "Another assignment pool has this name.");
export const bothConverted = () =>
  conflict(
    "BOTH_CONVERTED",
    "More than one of these leads has a contact of its own; merge the contacts first.",
  );
