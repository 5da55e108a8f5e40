import { z } from "zod";
import { action } from "../../mixins/contract/contract.ts";
import { byIdOf, listParams, type Listing } from "../../mixins/records/listing.ts";
import { byIdVersioned, id, nameText, pageOf, timestamp } from "../../mixins/contract/schemas.ts";

const kinds = ["lead"] as const;
const types = ["text", "number", "boolean", "date"] as const;
const customField = z
  .strictObject({
    id,
    /** Of which records it is a field. */
    kind: z.enum(kinds),
    /** Leads carry it as `customFields.<key>`. */
    key: z.string(),
    label: z.string(),
    type: z.enum(types),
    /** Kept encrypted, and shown only to those with the permission `leads:sensitive`. */
    isSensitive: z.boolean(),
    /** No two leads have the same value; of sensitive fields only. */
    isUnique: z.boolean(),
    createdAt: timestamp,
    updatedAt: timestamp,
    version: z.number().int(),
  })
  .meta({ id: "CustomField" });
export type CustomFieldView = z.output<typeof customField>;

export const customFieldListing: Listing = {
  // the column has the name that the field had before
  table: "(SELECT *, entity AS kind FROM custom_fields) AS custom_fields",
  fields: {
    id: "uuid",
    kind: "text",
    key: "text",
    label: "text",
    type: "text",
    isSensitive: "boolean",
    isUnique: "boolean",
    createdAt: "timestamp",
    updatedAt: "timestamp",
    version: "integer",
  },
  filterable: ["kind", "key", "type", "isSensitive"],
  values: { kind: kinds, type: types },
  sortable: ["key", "createdAt"],
  defaultSort: "key",
};

/** Definitions of custom fields; part of leadsContract. */
export const customFieldActions = {
  listCustomFields: action({
    summary: "Lists the custom fields that are defined",
    params: listParams(customFieldListing),
    returns: pageOf(customField.partial().extend({ id }).meta({ id: "CustomFieldPart" })),
    reads: true,
    permission: "custom-fields:read",
    rest: "GET /custom-fields",
  }),
  createCustomField: action({
    summary: "Defines a custom field; a sensitive one is kept encrypted, which it stays",
    params: z
      .strictObject({
        kind: z.enum(kinds).default("lead"),
        key: z
          .string()
          .regex(/^[\w-]{1,64}$/, "up to 64 letters, digits, _ and -")
          .refine((key) => key !== "__proto__", "is no key"),
        label: nameText(200).optional(),
        type: z.enum(types).default("text"),
        isSensitive: z.boolean().default(false),
        isUnique: z.boolean().default(false),
      })
      .refine(({ isSensitive, isUnique }) => isSensitive || !isUnique, {
        path: ["isUnique"],
        error: "only sensitive fields can be unique",
      }),
    returns: customField,
    permission: "custom-fields:create",
    rest: "POST /custom-fields",
    status: 201,
  }),
  getCustomField: action({
    summary: "One definition",
    params: byIdOf(customFieldListing),
    returns: customField,
    reads: true,
    permission: "custom-fields:read",
    rest: "GET /custom-fields/:id",
  }),
  removeCustomField: action({
    summary: "Forgets a definition; of a sensitive field the values too",
    params: byIdVersioned,
    returns: z.null(),
    permission: "custom-fields:delete",
    rest: "DELETE /custom-fields/:id",
    status: 204,
  }),
};

const changed = z.strictObject({ key: z.string(), isSensitive: z.boolean() });
export const customFieldEvents = {
  "custom_field.created": changed,
  "custom_field.deleted": changed,
};
