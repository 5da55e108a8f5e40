import { appError, badRequest } from "../contract/errors.ts";

export const uploadBrokeOff = () =>
  badRequest("UPLOAD_BROKE_OFF", "The upload broke off before the file's end; send it again.");
export const fileMissing = () => badRequest("FILE_REQUIRED", "Send a file.");
/** @param bytes the limit */
export const fileTooLarge = (bytes: number) =>
  appError(413, "FILE_TOO_LARGE", `The file is larger than ${bytes} bytes.`);
/** @param kind what the file is, with its article or as a media type */
export const fileUnsupported = (kind: string) =>
  appError(415, "UNSUPPORTED_FILE", `This is ${kind}, which is not accepted here.`);
export const fileTypeMismatch = (claimed: string, found: string) =>
  appError(415, "FILE_TYPE_MISMATCH", `The file is said to be ${claimed}, but is ${found}.`);
export const fileEmpty = () => appError(422, "FILE_EMPTY", "The file is empty.");
/** @param why a clause, such as "it holds a script" */
export const fileUnsafe = (why: string) => appError(422, "FILE_UNSAFE", `The file is not accepted: ${why}.`);
/** @param why a clause, such as "it has too many entries" */
export const archiveUnsafe = (why: string) =>
  appError(422, "ARCHIVE_UNSAFE", `The archive is not accepted: ${why}.`);
