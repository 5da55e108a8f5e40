import { appError, errorType, invalidField } from "../../mixins/contract/errors.ts";

export const requestNotFound = () =>
  appError(404, "PRIVACY_REQUEST_NOT_FOUND", "There is no such export or erasure.");
export const archiveNotReady = () =>
  appError(
    409,
    "ARCHIVE_NOT_READY",
    "The archive is not made yet; ask for the request until it is completed.",
  );
export const archiveGone = () =>
  appError(410, "ARCHIVE_GONE", "The archive is no more; ask for a new export.");
export const retentionInvalid = (part: string, problem: string) =>
  invalidField(`days.${part}`, "invalid", problem);
/** Another run has the request; this one ends. */
export const fenced = () =>
  appError(409, "PRIVACY_REQUEST_TAKEN", "Another run has taken this request over.");
export const isFenced = (error: unknown): boolean => errorType(error) === "PRIVACY_REQUEST_TAKEN";
/** The node wants to stop: another one begins anew. */
export const stopping = () => appError(503, "NODE_STOPPING", "This node stops.");
export const isStopping = (error: unknown): boolean => errorType(error) === "NODE_STOPPING";
export const unknownSubject = () =>
  invalidField("subject.id", "not_found", "is no record of a person in the organization");
