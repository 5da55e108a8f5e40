import { z } from "zod";
import { action } from "../../contract/contract.ts";
import { expectedVersion, id, pageOf, text, timestamp } from "../../contract/schemas.ts";
import { fieldsParam, listParams, type Listing } from "../finding/listing.ts";
import type { Fields, Kind } from "../kind/kind.ts";

/** Users that one comment calls. */
const mostMentions = 50;
const body = text(10_000);
const mentions = z
  .array(id)
  .max(mostMentions)
  .transform((ids) => [...new Set(ids)]);

export const comment = z
  .strictObject({
    id,
    /** Name of the record's kind. */
    kind: z.string(),
    recordId: id,
    authorId: id,
    body: z.string(),
    /** Users whom it calls. */
    mentions: z.array(id),
    ...{ createdAt: timestamp, updatedAt: timestamp, version: z.number().int() },
  })
  .meta({ id: "Comment" });
export type CommentView = z.output<typeof comment>;

export const commentListing: Listing = {
  table: "comments",
  fields: {
    ...{ id: "uuid", kind: "text", recordId: "uuid", authorId: "uuid", body: "text", mentions: "text[]" },
    ...{ createdAt: "timestamp", updatedAt: "timestamp", version: "integer" },
  },
  columns: { kind: ["record_kind"] },
  filterable: ["authorId", "createdAt", "updatedAt"],
  sortable: ["createdAt"],
  defaultSort: "createdAt",
};

/** What users say of a record, seen by whoever sees it. */
export const commentable = <N extends string, F extends Fields>(kind: Kind<N, F>) => ({
  listComments: action({
    summary: `Comments on a ${kind.name}, oldest first`,
    params: listParams(commentListing).omit({ q: true }).extend({ id }),
    returns: pageOf(comment.partial().extend({ id }).meta({ id: "CommentPart" })),
    reads: true,
    permission: `${kind.plural}:read`,
    rest: `GET /${kind.plural}/:id/comments`,
    fails: [410],
  }),
  getComment: action({
    summary: `One comment on a ${kind.name}`,
    params: z.strictObject({ id, commentId: id, fields: fieldsParam(commentListing) }),
    returns: comment,
    reads: true,
    permission: `${kind.plural}:read`,
    rest: `GET /${kind.plural}/:id/comments/:commentId`,
    fails: [410],
  }),
  createComment: action({
    summary: `Comments on a ${kind.name}; whom it mentions must be able to see it, and is told`,
    params: z.strictObject({ id, body, mentions: mentions.default([]) }),
    returns: comment,
    permission: `${kind.plural}:update`,
    rest: `POST /${kind.plural}/:id/comments`,
    status: 201,
    location: (made) => `/${kind.plural}/${made.recordId}/comments/${made.id}`,
    fails: [410],
    example: { params: { body: "She asks for a call on Monday." } },
  }),
  updateComment: action({
    summary: `Changes one's own comment on a ${kind.name}; who is mentioned anew is told`,
    params: z.strictObject({
      ...{ id, commentId: id, expectedVersion },
      ...{ body: body.optional(), mentions: mentions.optional() },
    }),
    returns: comment,
    permission: `${kind.plural}:update`,
    rest: `PATCH /${kind.plural}/:id/comments/:commentId`,
    fails: [410],
    example: { params: { body: "She asks for a call on Tuesday." } },
  }),
  removeComment: action({
    summary: `Deletes one's own comment on a ${kind.name}`,
    params: z.strictObject({ id, commentId: id, expectedVersion }),
    returns: z.null(),
    permission: `${kind.plural}:update`,
    rest: `DELETE /${kind.plural}/:id/comments/:commentId`,
    status: 204,
    fails: [410],
  }),
});

const data = z.strictObject({ comment });
/** Told as events of the record, to those who see it; `comment.mentioned` to those whom it mentions. */
export const commentEvents = {
  "comment.created": data,
  "comment.updated": data,
  "comment.deleted": data,
  "comment.mentioned": data,
};
