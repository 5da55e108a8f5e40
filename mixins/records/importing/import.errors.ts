import { appError, conflict, invalidField } from "../../contract/errors.ts";
import type { AnyKind } from "../kind/kind.ts";

export const sensitiveNotImported = (key: string) =>
  invalidField(
    `customFields.${key}`,
    "sensitive",
    `${key} is sensitive: a file of it is not kept, so imports do not fill it. Map its column to null.`,
  );
export const importFenced = () =>
  conflict("IMPORT_FENCED", "The import has moved on: another run owns it, or these rows were written.");
/** Somebody took an external id, or what is unique, while the batch was on its way: sent again, it sees that. */
export const importOvertaken = ({ name }: Pick<AnyKind, "name">) =>
  appError(
    503,
    "IMPORT_OVERTAKEN",
    `A ${name} with an externalId or a unique value of this batch was just made; send the batch again.`,
  );
/** Sent again in halves, it fits. */
export const importTooLarge = () =>
  conflict(
    "IMPORT_BATCH_TOO_LARGE",
    "The records that these rows change do not fit into memory; send fewer rows.",
  );
