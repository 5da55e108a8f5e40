import { appError, conflict, invalidField } from "../../mixins/contract/errors.ts";

export const customFieldNotFound = () =>
  appError(404, "CUSTOM_FIELD_NOT_FOUND", "There is no such custom field.");
export const tooManyIndexed = (kind: string, most: number) =>
  invalidField("isIndexed", "too_many", `may be true of ${most} custom fields of a ${kind}`);
export const customFieldTaken = () =>
  conflict("CUSTOM_FIELD_TAKEN", "A custom field with this key is defined already.");
/** @param id of the deleted one */
export const customFieldDeleted = (id: string) =>
  appError(
    409,
    "CUSTOM_FIELD_TAKEN",
    `A deleted custom field has this key, and records have values of it; bring it back with POST /custom-fields/${id}/restore.`,
    { id },
  );
export const customFieldInUse = () =>
  conflict(
    "CUSTOM_FIELD_IN_USE",
    "Records have unsealed values under this key, and so has their history; take another key for a sensitive field.",
  );
export const inUse = (what: string, uses: number) =>
  appError(409, "IN_USE", `${uses} records have ${what}; force does it nevertheless.`, { uses });
/** @param views that ask for it, anybody's */
export const fieldInUse = (uses: number, views: number) =>
  appError(
    409,
    "IN_USE",
    `${uses} records have a value of this field, and ${views} views ask for it; force deletes it nevertheless.`,
    { uses, views },
  );
export const optionsInUse = (uses: Readonly<Record<string, number>>) =>
  appError(
    409,
    "IN_USE",
    `Records have options that would go: ${Object.entries(uses)
      .map(([value, count]) => `${value} (${count})`)
      .join(", ")}; force takes them away nevertheless.`,
    { uses },
  );
export const valuesRepeat = (repeated: number) =>
  appError(409, "VALUES_REPEAT", `${repeated} values are of several records; make them differ first.`, {
    repeated,
  });
export const valuesDoNotFit = (type: string, unfit: number, examples: readonly string[]) =>
  appError(
    409,
    "VALUES_DO_NOT_FIT",
    `${unfit} records have values that are no ${type}, such as ${examples.join(", ")}; change these first.`,
    { unfit, recordIds: examples },
  );
export const immutable = (path: string) =>
  invalidField(path, "immutable", "cannot change; define another field and copy the values");
