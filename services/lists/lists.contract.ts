import { z } from "zod";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import {
  byId,
  byIdVersioned,
  expectedVersion,
  id,
  nameText,
  pageOf,
  timestamp,
} from "../../mixins/contract/schemas.ts";
import { personalData } from "../../mixins/privacy/personal-data.ts";
import { storedCondition } from "../../mixins/records/conditions/schema.ts";
import { fieldKey, optionsInput, shownOptions } from "../../mixins/records/custom/field-input.ts";
import { kindName, kindNames } from "../../mixins/records/kind/kinds.ts";
import { included } from "../../mixins/records/kind/kind.ts";
import { listParams, type Listing } from "../../mixins/records/finding/listing.ts";
import { operationBegun } from "../../mixins/records/writing/operations.ts";
import { customTypes } from "../../mixins/values/custom-value.ts";

/** Types that need to know of other records are of the records themselves. */
const fieldTypes = customTypes.filter((type) => type !== "reference") as [string, ...string[]];
const field = z
  .strictObject({
    key: z.string(),
    label: z.string(),
    type: z.enum(fieldTypes),
    options: shownOptions,
    isRequired: z.boolean(),
  })
  .meta({ id: "ListField" });
export type ListField = z.output<typeof field>;
const fieldInput = z
  .strictObject({
    key: fieldKey,
    /** Default the key. */
    label: nameText(200).optional(),
    type: z.enum(fieldTypes).default("text"),
    /** Of select and multiSelect. */
    options: optionsInput.default([]),
    isRequired: z.boolean().default(false),
  })
  .refine(({ type, options }) => type.endsWith("elect") === options.length > 0, {
    path: ["options"],
    error: "are required of select and multiSelect, and of these alone",
  });
const fieldsInput = z
  .array(fieldInput)
  .max(50)
  .refine((all) => new Set(all.map(({ key }) => key)).size === all.length, "each key once");

const list = z
  .strictObject({
    id,
    /** Of which records it is a list; it cannot change. */
    kind: kindName,
    name: z.string(),
    /** What each entry says besides. */
    fields: z.array(field),
    /** Whether everybody sees it who may read records of its kind. */
    isShared: z.boolean(),
    /** Null: of somebody who was erased. */
    ownerId: id.nullable(),
    createdAt: timestamp,
    updatedAt: timestamp,
    version: z.number().int(),
  })
  .meta({ id: "List" });
export type ListView = z.output<typeof list>;

export const listListing: Listing = {
  table: "lists",
  fields: {
    ...{ id: "uuid", kind: "text", name: "text", fields: "json", isShared: "boolean", ownerId: "uuid" },
    ...{ createdAt: "timestamp", updatedAt: "timestamp", version: "integer" },
  },
  filterable: ["kind", "name", "isShared", "ownerId"],
  values: { kind: kindNames },
  sortable: ["name", "createdAt"],
  defaultSort: "name",
};

const entry = z
  .strictObject({
    id,
    listId: id,
    recordId: id,
    values: z.record(z.string(), z.unknown()),
    /** Null: by nobody who is known any more. */
    addedBy: id.nullable(),
    createdAt: timestamp,
    updatedAt: timestamp,
    version: z.number().int(),
  })
  .meta({ id: "ListEntry" });
export type EntryView = z.output<typeof entry>;

export const entryListing: Listing = {
  table: "list_entries",
  fields: {
    ...{ id: "uuid", listId: "uuid", recordId: "uuid", customFields: "json", addedBy: "uuid" },
    ...{ createdAt: "timestamp", updatedAt: "timestamp", version: "integer" },
  },
  filterable: ["recordId", "addedBy", "createdAt", "updatedAt"],
  sortable: ["createdAt", "updatedAt"],
  defaultSort: "createdAt",
  customFields: true,
};
/** `filter[values.state]` asks as `filter[customFields.state]` does of records. */
const asked = listParams(entryListing).omit({ fields: true, q: true, where: true });
const valuesFilter = z.preprocess(
  (given) =>
    typeof given === "object" && given !== null && !Array.isArray(given)
      ? Object.fromEntries(
          Object.entries(given).map(([key, test]) => [key.replace(/^values\./, "customFields."), test]),
        )
      : given,
  asked.shape.filter,
);

/** By key, as custom fields are given; null takes one away. */
const values = z.record(z.string().max(64), z.unknown());
/** Who it belongs to and of what it is a list; never what it says. */
const told = z.strictObject({ kind: z.string(), ownerId: id.nullable(), isShared: z.boolean() });
const entriesTold = told.extend({ entryIds: z.array(id) });
const ofEntry = { id, entryId: id };
const created2026 = { field: "createdAt", op: "lt", value: "2026-01-01" };

/** Lists of records that are chosen by hand. */
export const listsContract = defineContract("lists", {
  tables: { owns: ["lists", "list_entries"] },
  actions: {
    list: action({
      summary: "Lists one's own lists and those that are shared, of kinds that one may read",
      params: listParams(listListing).omit({ fields: true, q: true }),
      returns: pageOf(list),
      reads: true,
      permission: "lists:read",
      rest: "GET /lists",
    }),
    create: action({
      summary: "Makes a list, with fields of its own",
      params: z.strictObject({
        kind: kindName.default("lead"),
        name: nameText(100),
        fields: fieldsInput.default([]),
        isShared: z.boolean().default(false),
      }),
      returns: list,
      permission: "lists:create",
      rest: "POST /lists",
      status: 201,
      example: {
        params: {
          ...{ kind: "contact", name: "Fair 2026", isShared: true },
          fields: [{ key: "state", type: "select", options: [{ value: "invited" }, { value: "came" }] }],
        },
      },
    }),
    get: action({
      summary: "One list",
      params: byId,
      returns: list,
      reads: true,
      permission: "lists:read",
      rest: "GET /lists/:id",
    }),
    update: action({
      summary:
        "Changes a list: one's own, or as an admin a shared one. Fields are given whole: one that is left out is removed, 409 IN_USE where entries have it, unless force",
      params: z
        .strictObject({ name: nameText(100), fields: fieldsInput, isShared: z.boolean() })
        .partial()
        .extend({ id, expectedVersion, force: z.boolean().default(false) }),
      returns: list,
      permission: "lists:update",
      rest: "PATCH /lists/:id",
      fails: [409],
      example: { params: { name: "Fair 2027" } },
    }),
    remove: action({
      summary: "Deletes a list with its entries: one's own, or as an admin a shared one. The records stay",
      params: byIdVersioned,
      returns: z.null(),
      permission: "lists:delete",
      rest: "DELETE /lists/:id",
      status: 204,
    }),
    listEntries: action({
      summary: "The entries of a list whose records one sees; filter[values.<key>] asks for its own fields",
      params: asked.extend({
        id,
        filter: valuesFilter.meta({ type: "object" }),
        /** `record` brings the records along. */
        include: z.literal("record").optional(),
      }),
      returns: pageOf(entry).extend({ included: included.optional() }),
      reads: true,
      permission: "lists:read",
      rest: "GET /lists/:id/entries",
    }),
    addEntry: action({
      summary: "Puts a record into a list; 409 where it is in it",
      params: z.strictObject({ id, recordId: id, values: values.default({}) }),
      returns: entry,
      permission: "lists:update",
      rest: "POST /lists/:id/entries",
      status: 201,
      location: ({ listId, id }) => `/lists/${listId}/entries/${id}`,
      fails: [409],
      example: { params: { recordId: "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f", values: { state: "invited" } } },
    }),
    getEntry: action({
      summary: "One entry of a list",
      params: z.strictObject(ofEntry),
      returns: entry,
      reads: true,
      permission: "lists:read",
      rest: "GET /lists/:id/entries/:entryId",
    }),
    updateEntry: action({
      summary: "Changes values of an entry; what is left out stays, null takes one away",
      params: z.strictObject({ ...ofEntry, values, expectedVersion }),
      returns: entry,
      permission: "lists:update",
      rest: "PATCH /lists/:id/entries/:entryId",
      example: { params: { values: { state: "came" } } },
    }),
    removeEntry: action({
      summary: "Takes a record out of a list",
      params: z.strictObject({ ...ofEntry, expectedVersion }),
      returns: z.null(),
      permission: "lists:update",
      rest: "DELETE /lists/:id/entries/:entryId",
      status: 204,
    }),
    addMany: action({
      summary:
        "Puts many records into a list, those of a condition or by their ids; those that are in it stay as they are. With dryRun says how many",
      params: z
        .strictObject({
          id,
          where: storedCondition.optional(),
          ids: z.array(id).min(1).max(10_000).optional(),
          values: values.default({}),
          dryRun: z.boolean().default(false),
        })
        .refine(({ where, ids }) => (where === undefined) !== (ids === undefined), "give where or ids"),
      returns: operationBegun,
      permission: "lists:update",
      rest: "POST /lists/:id/entries/bulk",
      status: 202,
      location: (begun) => `/operations/${"id" in begun ? begun.id : ""}`,
      isDone: (begun) => "matched" in begun,
      example: { params: { where: created2026, dryRun: true } },
    }),
    /** The next step of addMany, for its job. */
    applyOperation: action({
      summary: "Puts the next records of an operation into its list, in one transaction",
      params: z.strictObject({ operationId: id }),
      returns: z.strictObject({ isOver: z.boolean() }),
      permission: "authenticated",
    }),
  },
  events: {
    "list.created": told,
    "list.updated": told,
    "list.deleted": told,
    "list.entries_added": entriesTold,
    "list.entries_updated": entriesTold,
    "list.entries_removed": entriesTold,
  },
  personalData: {
    lists: personalData({
      summary:
        "Entries of the person's records are deleted, and values that show the person; a user's own lists are deleted, what they shared stays, as nobody's",
      tables: ["lists", "list_entries"],
    }),
  },
});
