import { z } from "zod";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import {
  byId,
  byIdVersioned,
  expectedVersion,
  id,
  nameText,
  pageOf,
  price,
  text,
  timestamp,
} from "../../mixins/contract/schemas.ts";
import { job } from "../../mixins/jobs/job-spec.ts";
import { fieldKey, optionsInput, shownOptions } from "../../mixins/records/custom/field-input.ts";
import { customKindName, customKindNames, kindName } from "../../mixins/records/kind/kinds.ts";
import { byIdOf, listParams, type Listing } from "../../mixins/records/finding/listing.ts";
import { customLimits, customTypes } from "../../mixins/values/custom-value.ts";

/** Options of one field; a process keeps every organization's at hand. */
const customField = z
  .strictObject({
    id,
    /** Of which records it is a field. */
    kind: customKindName,
    /** Records carry it as `customFields.<key>`; it cannot change. */
    key: z.string(),
    label: z.string(),
    type: z.enum(customTypes),
    /** Of select and multiSelect; empty for others. */
    options: shownOptions,
    /** The kind of record that a reference names; null for other types. */
    references: kindName.nullable(),
    /** New records must have it, and nobody may take it away. */
    isRequired: z.boolean(),
    /** No two records have the same value. */
    isUnique: z.boolean(),
    /** Kept encrypted, and shown only to those with the permission `<kinds>:sensitive`; it cannot change. */
    isSensitive: z.boolean(),
    /** Lists are sorted by it, and find ranges of it by an index. */
    isIndexed: z.boolean(),
    /** What a new record has where nothing is given. */
    default: z.unknown(),
    createdAt: timestamp,
    updatedAt: timestamp,
    version: z.number().int(),
  })
  .meta({ id: "CustomField" });
export type CustomFieldView = z.output<typeof customField>;

export const customFieldListing: Listing = {
  // the columns have the names that the fields had before
  table: `(SELECT *, entity AS kind, refers_to AS "references", default_value AS "default" FROM custom_fields
    WHERE deleted_at IS NULL) AS custom_fields`,
  fields: {
    id: "uuid",
    kind: "text",
    key: "text",
    label: "text",
    type: "text",
    options: "json",
    references: "text",
    isRequired: "boolean",
    isUnique: "boolean",
    isSensitive: "boolean",
    isIndexed: "boolean",
    default: "json",
    createdAt: "timestamp",
    updatedAt: "timestamp",
    version: "integer",
  },
  columns: { references: ['"references"'], default: ['"default"'] },
  filterable: ["kind", "key", "type", "isSensitive", "isRequired", "isUnique"],
  values: { kind: customKindNames, type: customTypes },
  sortable: ["key", "createdAt"],
  defaultSort: "key",
};

const defaultValue = z.union([
  text(customLimits.longText),
  z.number(),
  z.boolean(),
  z.null(),
  z.array(text(200)).max(customLimits.chosen),
  price,
]);

const changed = z.strictObject({ kind: z.string(), key: z.string(), isSensitive: z.boolean() });

/** Definitions of what organizations add to their records. */
export const customFieldsContract = defineContract("custom-fields", {
  tables: { owns: ["custom_fields", "custom_field_values", "custom_field_index"], reads: ["saved_views"] },
  actions: {
    list: action({
      summary: "Lists the custom fields that are defined",
      params: listParams(customFieldListing),
      returns: pageOf(customField.partial().extend({ id }).meta({ id: "CustomFieldPart" })),
      permission: "custom-fields:read",
      reads: true,
      rest: "GET /custom-fields",
    }),
    create: action({
      summary: "Defines a custom field; a sensitive one is kept encrypted, which it stays",
      params: z.strictObject({
        kind: customKindName.default("lead"),
        key: fieldKey,
        label: nameText(200).optional(),
        type: z.enum(customTypes).default("text"),
        options: optionsInput.optional(),
        references: kindName.nullable().optional(),
        isRequired: z.boolean().default(false),
        isUnique: z.boolean().default(false),
        isSensitive: z.boolean().default(false),
        isIndexed: z.boolean().default(false),
        default: defaultValue.optional(),
      }),
      returns: customField,
      permission: "custom-fields:create",
      rest: "POST /custom-fields",
      status: 201,
      example: {
        params: {
          ...{ kind: "contact", key: "plan", label: "Plan", type: "select" },
          options: [
            { value: "free", label: "Free" },
            { value: "pro", label: "Pro" },
          ],
          default: "free",
        },
      },
    }),
    get: action({
      summary: "One definition",
      params: byIdOf(customFieldListing),
      returns: customField,
      permission: "custom-fields:read",
      reads: true,
      rest: "GET /custom-fields/:id",
    }),
    update: action({
      summary: "Changes a definition; its key, its kind and whether it is sensitive stay",
      params: z.strictObject({
        ...{ id, expectedVersion },
        label: nameText(200).optional(),
        type: z.enum(customTypes).optional(),
        options: optionsInput.optional(),
        references: kindName.nullable().optional(),
        isRequired: z.boolean().optional(),
        isUnique: z.boolean().optional(),
        isIndexed: z.boolean().optional(),
        default: defaultValue.optional(),
        /** Takes options away that records have; they keep those values until they are changed. */
        force: z.boolean().default(false),
        /** Refused where it is another than it has. */
        key: z.string().optional(),
        kind: z.string().optional(),
        isSensitive: z.boolean().optional(),
      }),
      returns: customField,
      permission: "custom-fields:update",
      rest: "PATCH /custom-fields/:id",
      fails: [409],
      example: { params: { label: "Plan", isRequired: true } },
    }),
    remove: action({
      summary: "Deletes a definition; what records have in it is hidden, and goes for good after 30 days",
      params: byIdVersioned.extend({
        /** Deletes it also where records have values. */
        force: z
          .union([z.boolean(), z.enum(["true", "false"]).transform((flag) => flag === "true")])
          .default(false),
      }),
      returns: z.null(),
      permission: "custom-fields:delete",
      rest: "DELETE /custom-fields/:id",
      fails: [409],
      status: 204,
    }),
    restore: action({
      summary: "Brings a deleted definition back, with what records have in it, within 30 days",
      params: byId,
      returns: customField,
      permission: "custom-fields:delete",
      rest: "POST /custom-fields/:id/restore",
      fails: [409],
    }),
  },
  events: {
    "custom_field.created": changed,
    "custom_field.updated": changed,
    "custom_field.deleted": changed,
    "custom_field.restored": changed,
  },
  jobs: {
    purge: job({
      summary: "Removes what records have in a field that was deleted 30 days ago",
      payload: z.strictObject({ fieldId: id }),
    }),
    index: job({
      summary: "Takes up what records have in a field that is to be indexed",
      payload: z.strictObject({
        fieldId: id,
        /** Transactions from before it may have written records unindexed; they are waited for. */
        before: z.string().optional(),
        /** The record after which it goes on. */
        after: id.optional(),
      }),
    }),
    unindex: job({
      summary: "Removes the index of a field that is indexed no more",
      payload: z.strictObject({ fieldId: id }),
    }),
  },
});
