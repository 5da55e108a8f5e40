import { appError, conflict } from "../../mixins/contract/errors.ts";

export const runNotFound = () => appError(404, "REPORT_RUN_NOT_FOUND", "There is no such run of yours.");
export const notCompleted = (status: string) =>
  conflict("RUN_NOT_COMPLETED", `The run is ${status}; a file is there when it is completed.`);
