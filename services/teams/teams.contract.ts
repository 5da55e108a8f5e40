import { z } from "zod";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { byIdOf, listParams, type Listing } from "../../mixins/records/finding/listing.ts";
import {
  byIdVersioned,
  expectedVersion,
  id,
  nameText,
  pageOf,
  timestamp,
} from "../../mixins/contract/schemas.ts";

const team = z
  .strictObject({
    id,
    name: z.string(),
    /** Who sees the records of the members. */
    managerIds: z.array(id),
    memberIds: z.array(id),
    createdAt: timestamp,
    updatedAt: timestamp,
    version: z.number().int(),
  })
  .meta({ id: "Team" });
export type TeamView = z.output<typeof team>;

const users = (most: number) =>
  z
    .array(id)
    .max(most)
    .refine((ids) => new Set(ids).size === ids.length, "a user stands twice");
const teamFields = { name: nameText(100), managerIds: users(50), memberIds: users(500) };

export const teamListing: Listing = {
  table: "teams",
  fields: {
    id: "uuid",
    name: "text",
    managerIds: "json",
    memberIds: "json",
    createdAt: "timestamp",
    updatedAt: "timestamp",
    version: "integer",
  },
  filterable: ["name", "createdAt"],
  sortable: ["name", "createdAt"],
  defaultSort: "name",
};

const teamEvent = z.strictObject({ team });

export const teamsContract = defineContract("teams", {
  tables: { owns: ["teams"] },
  actions: {
    list: action({
      summary: "Lists teams",
      params: listParams(teamListing),
      returns: pageOf(team.partial().extend({ id }).meta({ id: "TeamPart" })),
      reads: true,
      permission: "teams:read",
      rest: "GET /teams",
    }),
    create: action({
      summary: "Makes a team: its managers see the records of its members",
      params: z.strictObject({
        name: teamFields.name,
        managerIds: teamFields.managerIds.default([]),
        memberIds: teamFields.memberIds.default([]),
      }),
      returns: team,
      permission: "teams:create",
      rest: "POST /teams",
      status: 201,
    }),
    get: action({
      summary: "One team",
      params: byIdOf(teamListing),
      returns: team,
      reads: true,
      permission: "teams:read",
      rest: "GET /teams/:id",
    }),
    update: action({
      summary: "Changes a team; what its managers see changes within two seconds",
      params: z.strictObject(teamFields).partial().extend({ id, expectedVersion }),
      returns: team,
      permission: "teams:update",
      rest: "PATCH /teams/:id",
    }),
    remove: action({
      summary: "Deletes a team",
      params: byIdVersioned,
      returns: z.null(),
      permission: "teams:delete",
      rest: "DELETE /teams/:id",
      status: 204,
    }),
  },
  events: { "team.created": teamEvent, "team.updated": teamEvent, "team.deleted": teamEvent },
});
