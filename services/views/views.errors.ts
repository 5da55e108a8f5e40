import { appError } from "../../mixins/contract/errors.ts";

export const viewNotFound = () => appError(404, "VIEW_NOT_FOUND", "There is no such view.");
export const notYourView = () =>
  appError(
    403,
    "NOT_YOUR_VIEW",
    "Only whoever made a view changes it, or an admin if it is shared; make one of your own.",
  );
