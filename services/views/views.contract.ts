import { z } from "zod";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import {
  byId,
  byIdVersioned,
  expectedVersion,
  fieldError,
  id,
  nameText,
  pageOf,
  timestamp,
} from "../../mixins/contract/schemas.ts";
import { personalData } from "../../mixins/privacy/personal-data.ts";
import { storedCondition } from "../../mixins/records/conditions/schema.ts";
import { kindName, kindNames } from "../../mixins/records/kind/kinds.ts";
import { listParams, type Listing } from "../../mixins/records/finding/listing.ts";

const view = z
  .strictObject({
    id,
    /** Of which records it is a list; it cannot change. */
    kind: kindName,
    name: z.string(),
    /** As `where` of the list; null: all. */
    where: storedCondition.nullable(),
    /** Fields that are shown, in this order, custom fields as `customFields.<key>`; null: all. */
    columns: z.array(z.string()).nullable(),
    /** As `sort` of the list; null: as the kind has it. */
    sort: z.string().nullable(),
    /** Whether everybody sees it who may read records of its kind. */
    isShared: z.boolean(),
    /** Null: of somebody who was erased. */
    ownerId: id.nullable(),
    /** Whether it says something that does not hold any more, as when a custom field was deleted. */
    isBroken: z.boolean(),
    /** What that is, as errors of a request that would save it. */
    problems: z.array(fieldError),
    createdAt: timestamp,
    updatedAt: timestamp,
    version: z.number().int(),
  })
  .meta({ id: "View" });
export type ViewOfViews = z.output<typeof view>;

export const viewListing: Listing = {
  table: "saved_views",
  fields: {
    id: "uuid",
    kind: "text",
    name: "text",
    where: "json",
    columns: "json",
    sort: "text",
    isShared: "boolean",
    ownerId: "uuid",
    createdAt: "timestamp",
    updatedAt: "timestamp",
    version: "integer",
  },
  filterable: ["kind", "name", "isShared", "ownerId"],
  values: { kind: kindNames },
  sortable: ["name", "createdAt"],
  defaultSort: "name",
};

const said = {
  name: nameText(100),
  where: storedCondition.nullable(),
  columns: z
    .array(z.string().max(100))
    .min(1)
    .max(100)
    .refine((all) => new Set(all).size === all.length, "each column once")
    .nullable(),
  sort: z.string().max(100).nullable(),
  isShared: z.boolean(),
};
/** Who it belongs to and of what it is a list; never what it says. */
const told = z.strictObject({ kind: z.string(), ownerId: id.nullable(), isShared: z.boolean() });

/** Lists that users keep, for themselves or for everybody. */
export const viewsContract = defineContract("views", {
  tables: { owns: ["saved_views"] },
  actions: {
    list: action({
      summary: "Lists one's own views and those that are shared, of kinds that one may read",
      params: listParams(viewListing).omit({ fields: true, q: true }),
      returns: pageOf(view),
      reads: true,
      permission: "views:read",
      rest: "GET /views",
    }),
    create: action({
      summary: "Keeps a list; the list of its kind takes it as ?view=",
      params: z.strictObject({
        kind: kindName.default("lead"),
        name: said.name,
        where: said.where.default(null),
        columns: said.columns.default(null),
        sort: said.sort.default(null),
        isShared: said.isShared.default(false),
      }),
      returns: view,
      permission: "views:create",
      rest: "POST /views",
      status: 201,
      example: {
        params: {
          ...{ kind: "lead", name: "Hot leads", sort: "-score", columns: ["firstName", "lastName", "score"] },
          where: { field: "score", op: "gte", value: 80 },
          isShared: true,
        },
      },
    }),
    get: action({
      summary: "One view",
      params: byId,
      returns: view,
      reads: true,
      permission: "views:read",
      rest: "GET /views/:id",
    }),
    update: action({
      summary: "Changes a view: one's own, or as an admin a shared one",
      params: z.strictObject(said).partial().extend({ id, expectedVersion }),
      returns: view,
      permission: "views:update",
      rest: "PATCH /views/:id",
      example: { params: { name: "Hot leads", isShared: false } },
    }),
    remove: action({
      summary: "Deletes a view: one's own, or as an admin a shared one",
      params: byIdVersioned,
      returns: z.null(),
      permission: "views:delete",
      rest: "DELETE /views/:id",
      status: 204,
    }),
  },
  events: { "view.created": told, "view.updated": told, "view.deleted": told },
  personalData: {
    views: personalData({
      summary:
        "Lists that users keep; those that show the person's email, phone or full name are deleted, and a user's own; what they shared stays, as nobody's",
      tables: ["saved_views"],
    }),
  },
});
