import { z } from "zod";
import { emailText } from "../../../mixins/records/conditions/fields.ts";
import { action } from "../../../mixins/contract/contract.ts";
import { roleInput } from "../roles/roles.contract.ts";
import { byIdOf, listParams, type Listing } from "../../../mixins/records/finding/listing.ts";
import { byId, email, id, nameText, pageOf, timestamp } from "../../../mixins/contract/schemas.ts";

const invite = z
  .strictObject({
    id,
    name: z.string(),
    email: z.string(),
    /** A built-in role's name, or the id of a custom role. */
    role: z.string(),
    /** Null: of release 0.1.0, and nobody knows. */
    invitedBy: id.nullable(),
    /** Whether whoever invited could still do so; only then can it be accepted. */
    isValid: z.boolean(),
    /** When the mail left here; null until then. */
    mailedAt: timestamp.nullable(),
    /** Where the address has had as many mails as it may: when this one is tried again. */
    mailDelayedUntil: timestamp.nullable(),
    expiresAt: timestamp,
    createdAt: timestamp,
  })
  .meta({ id: "Invite" });
export type InviteView = z.output<typeof invite>;

export const inviteListing: Listing = {
  table: "control.invites",
  fields: {
    id: "uuid",
    name: "text",
    email: "text",
    role: "text",
    invitedBy: "uuid",
    mailedAt: "timestamp",
    mailDelayedUntil: "timestamp",
    expiresAt: "timestamp",
    createdAt: "timestamp",
  },
  filterable: ["name", "email", "role", "invitedBy", "createdAt"],
  stored: { email: emailText },
  sortable: ["createdAt", "email"],
  defaultSort: "-createdAt",
};

export const inviteActions = {
  inviteUser: action({
    summary: "Mails an invitation to join the organization; a new one replaces that of the same email",
    params: z.strictObject({ name: nameText(200), email, role: roleInput }),
    returns: invite.extend({ status: z.literal("pending") }),
    permission: "users:create",
    rest: "POST /users/invite",
    status: 202,
    location: ({ id }) => `/invites/${id}`,
  }),
  listInvites: action({
    summary: "Invitations that wait for an answer, newest first",
    params: listParams(inviteListing).omit({ q: true }),
    returns: pageOf(invite.partial().extend({ id }).meta({ id: "InvitePart" })),
    reads: true,
    permission: "users:create",
    rest: "GET /invites",
  }),
  getInvite: action({
    summary: "One invitation that waits for an answer",
    params: byIdOf(inviteListing),
    returns: invite,
    reads: true,
    permission: "users:create",
    rest: "GET /invites/:id",
  }),
  revokeInvite: action({
    summary: "Takes an invitation back",
    params: byId,
    returns: z.null(),
    permission: "users:create",
    rest: "DELETE /invites/:id",
    status: 204,
  }),
};
