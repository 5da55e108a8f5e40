import { appError } from "../../contract/errors.ts";
import type { CustomKind } from "../kind/kind.ts";

/** @param id of the record that has it, where it is known */
export const valueTaken = ({ name }: Pick<CustomKind, "name">, key?: string, id?: string) =>
  appError(
    409,
    "VALUE_TAKEN",
    `Another ${name}${id === undefined ? "" : ` (${id})`} has this value of ${key === undefined ? "a unique custom field" : `the unique custom field ${key}`}.`,
    id === undefined ? undefined : { recordId: id },
  );

/** Of a write that went by definitions that were changed meanwhile. Sent again, it goes by the new ones. */
export const customFieldsChanged = () =>
  appError(503, customFieldsChangedType, "Custom fields were changed just now; try again.", {
    retryAfterSeconds: 1,
  });
export const customFieldsChangedType = "CUSTOM_FIELDS_CHANGED";
