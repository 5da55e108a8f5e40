import { appError, conflict } from "../../mixins/contract/errors.ts";

export const listNotFound = () => appError(404, "LIST_NOT_FOUND", "There is no such list.");
export const entryNotFound = () =>
  appError(404, "LIST_ENTRY_NOT_FOUND", "There is no such entry of the list.");
export const notYourList = () =>
  appError(403, "NOT_YOUR_LIST", "Only whoever made a list changes it, or an admin if it is shared.");
export const inListAlready = () =>
  conflict("ALREADY_IN_LIST", "The record is in this list; change its entry.");
export const fieldInUse = (uses: number) =>
  appError(409, "IN_USE", `${uses} entries have values of fields that are left out; force removes these.`, {
    uses,
  });
