import { appError, badRequest, conflict, invalid, type FieldError } from "../../mixins/contract/errors.ts";

export const importNotFound = () => appError(404, "IMPORT_NOT_FOUND", "There is no such import.");
export const importNotFinished = () =>
  conflict("IMPORT_NOT_FINISHED", "The import is still running; roll it back once it has ended.");
export const importAlreadyRolledBack = () =>
  conflict("IMPORT_ALREADY_ROLLED_BACK", "The import was rolled back before, or is being rolled back.");
export const dryRunNotRolledBack = () =>
  conflict("IMPORT_IS_DRY_RUN", "A dry run changes nothing, so there is nothing to roll back.");

/** What reaches into records of everybody is for who sees them. */
export const mayNotReachAll = ({ plural }: { plural: string }) =>
  appError(
    403,
    "FORBIDDEN",
    `Only who sees all ${plural} may update ${plural} by import, or roll an import back.`,
  );

export const fileMissing = () => badRequest("FILE_REQUIRED", "Send the CSV file in the field `file`.");
export const uploadBrokeOff = () =>
  badRequest(
    "UPLOAD_BROKE_OFF",
    "The upload broke off before the file's end; nothing was stored. Send it again.",
  );
export const uploadExpired = () =>
  appError(408, "UPLOAD_EXPIRED", "The upload took longer than an hour; nothing was stored.");
/** @param megabytes the limit */
export const fileTooLarge = (megabytes: number) =>
  appError(413, "FILE_TOO_LARGE", `The file is larger than ${megabytes} MB; split it.`);
/** @param kind what the file seems to be, with its article */
export const fileUnsupported = (kind: string) =>
  appError(
    415,
    "UNSUPPORTED_FILE",
    `This is ${kind}, not CSV text. Export the sheet as CSV (UTF-8) and send that.`,
  );
export const fileEmpty = () => appError(422, "FILE_EMPTY", "The file is empty; it needs a heading and rows.");
export const headingUnusable = (type: string, message: string) => appError(422, type, message);
export const mappingNamesUnknownColumn = (unknown: readonly string[], columns: readonly string[]) =>
  appError(
    422,
    "MAPPING_UNKNOWN_COLUMN",
    `The mapping or the values name columns that the file does not have: ${quoted(unknown)}. Its columns are ${quoted(columns)}.`,
    { columns: unknown },
  );
export const mappingInvalid = (errors: FieldError[]) => invalid(errors);

const quoted = (names: readonly string[]): string => names.map((name) => `"${name}"`).join(", ");
