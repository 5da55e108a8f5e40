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
