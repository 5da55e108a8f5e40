import { z } from "zod";
import { action } from "../contract/contract.ts";
import {
  byId,
  byIdVersioned,
  expectedVersion,
  externalId,
  id,
  pageOf,
  text,
  timestamp,
} from "../contract/schemas.ts";
import { byIdOf, fieldsParam, listParams, pageParams } from "./finding/listing.ts";
import { viewParams } from "./finding/view-params.ts";
import { includeParam } from "./finding/include.ts";
import { included, type AnyKind, type Fields, type Kind } from "./kind/kind.ts";

/**
 * What a service offers of a kind, as parts of its contract: with a line go its routes, permissions, docs and tests. Bodies come
 * from recordHandlers. Of many records at once see capabilities/many.ts, of files capabilities/files.ts.
 */

/** What of a record is kept under an Idempotency-Key: sensitive values are stored nowhere but sealed. */
export function withoutSensitive<T>(shown: T): T {
  const { sensitive, customFields } = shown as { sensitive?: string[]; customFields?: object };
  if (sensitive === undefined) return shown;
  const emptied = Object.fromEntries(sensitive.map((key) => [key, null]));
  return { ...shown, customFields: { ...customFields, ...emptied } };
}

/** Create, list, read, change, delete. */
export const crud = <N extends string, F extends Fields>(kind: Kind<N, F>) => ({
  create: action({
    summary: `Makes a ${kind.name}`,
    params: kind.newInput,
    returns: kind.view,
    kept: withoutSensitive,
    permission: `${kind.plural}:create`,
    rest: `POST /${kind.plural}`,
    status: 201,
    example: { params: kind.example },
  }),
  list: action({
    summary: `Lists ${kind.plural}`,
    params: listParams(kind.listing).extend({
      include: includeParam(kind),
      ...viewParams(kind.listing),
      /** Records of a list, see GET /lists. */
      list: id.optional(),
    }),
    returns: pageOf(
      kind.view
        .partial()
        .extend({ id })
        .meta({ id: `${kind.typeName}Part` }),
    ).extend({ included: included.optional() }),
    reads: true,
    permission: `${kind.plural}:read`,
    rest: `GET /${kind.plural}`,
  }),
  get: action({
    summary: `One ${kind.name}`,
    params: byIdOf(kind.listing).extend({ include: includeParam(kind) }),
    returns: kind.view,
    reads: true,
    permission: `${kind.plural}:read`,
    rest: `GET /${kind.plural}/:id`,
    fails: [410],
  }),
  update: action({
    summary: `Changes fields of a ${kind.name}; null empties a field`,
    params: kind.input.extend({ id, expectedVersion }),
    returns: kind.view,
    kept: withoutSensitive,
    permission: `${kind.plural}:update`,
    rest: `PATCH /${kind.plural}/:id`,
    fails: [410],
    example: { params: kind.example },
  }),
  remove: action({
    summary: `Deletes a ${kind.name}; it can be restored`,
    params: byIdVersioned,
    returns: z.null(),
    permission: `${kind.plural}:delete`,
    rest: `DELETE /${kind.plural}/:id`,
    fails: [410],
    status: 204,
  }),
});

/** By the id that a record has elsewhere; the kind has a field `externalId`. */
export const upsertable = <N extends string, F extends Fields>(kind: Kind<N, F>) => ({
  getByExternalId: action({
    summary: `The ${kind.name} with this external id`,
    params: z.strictObject({ externalId: text(200), fields: fieldsParam(kind.listing) }),
    returns: kind.view,
    reads: true,
    permission: `${kind.plural}:read`,
    rest: `GET /${kind.plural}/by-external-id/:externalId`,
  }),
  upsert: action({
    summary: `Makes the ${kind.name} with this external id, or changes it`,
    params: kind.input.extend({ externalId, expectedVersion }),
    returns: kind.view,
    kept: withoutSensitive,
    upserts: true,
    location: (made) => `/${kind.plural}/${(made as { id: string }).id}`,
    permission: `${kind.plural}:update`,
    rest: `PUT /${kind.plural}/by-external-id/:externalId`,
    example: {
      params: Object.fromEntries(Object.entries(kind.example).filter(([key]) => key !== "externalId")),
    },
  }),
});

export const restorable = <N extends string, F extends Fields>(kind: Kind<N, F>) => ({
  restore: action({
    summary: `Brings a deleted ${kind.name} back`,
    params: byId,
    returns: kind.view,
    kept: withoutSensitive,
    permission: `${kind.plural}:delete`,
    rest: `POST /${kind.plural}/:id/restore`,
  }),
});

const ofVersion = {
  id,
  type: z.string(),
  /** The record's version after it. */
  version: z.number().int(),
  actorId: id.nullable(),
  occurredAt: timestamp,
};
/** What happened to a record, and with it. */
export const timelinePage = pageOf(
  z.strictObject({
    /** `changes`, `comments`, or the plural of a kind whose records name it, such as `activities`. */
    part: z.string(),
    /** Of the event, the comment or the record. */
    ...{ id, type: z.string(), actorId: id.nullable(), occurredAt: timestamp },
    entityVersion: z.number().int(),
    data: z.unknown(),
  }),
);
/** What the column of versions holds. */
const greatestVersion = 2_147_483_647;
/** What happened to a record, and the way back. */
export const historical = <N extends string, F extends Fields>(kind: Kind<N, F>) => ({
  timeline: action({
    summary: `What happened to a ${kind.name} and with it, newest first: changes, activities, comments`,
    params: z.strictObject({ id, ...pageParams }),
    returns: timelinePage,
    reads: true,
    permission: `${kind.plural}:read`,
    rest: `GET /${kind.plural}/:id/timeline`,
  }),
  history: action({
    summary: `Who changed which fields of a ${kind.name}, from what to what, newest first`,
    params: z.strictObject({ id, ...pageParams }),
    returns: pageOf(
      z.strictObject({
        ...ofVersion,
        /** By field: before and after. */
        changes: z.record(z.string(), z.tuple([z.unknown(), z.unknown()])),
      }),
    ),
    reads: true,
    permission: `${kind.plural}:read`,
    rest: `GET /${kind.plural}/:id/history`,
  }),
  revert: action({
    summary: `Brings back the fields of a ${kind.name} as they were at a version, as a new version`,
    params: z.strictObject({ id, version: z.number().int().min(1).max(greatestVersion), expectedVersion }),
    returns: kind.view,
    kept: withoutSensitive,
    permission: `${kind.plural}:update`,
    rest: `POST /${kind.plural}/:id/revert`,
    fails: [409],
    example: { params: { version: 1 } },
  }),
});

/** A record and what belongs to it, at one look. */
export const overviewed = <N extends string, F extends Fields>(kind: Kind<N, F>) => ({
  overview: action({
    summary: `A ${kind.name}, what it refers to, and the newest records of each kind that refer to it; what the caller may not read is left out`,
    params: byId,
    returns: z
      .object({
        /** Names of the sections that have more; lists of these kinds show all. */
        hasMore: z.array(z.string()),
      })
      // the record by the name of its kind, one that it refers to by the name of the relation, lists by the plural of their kind
      .catchall(z.union([z.record(z.string(), z.unknown()), z.array(z.unknown()), z.null()]))
      .meta({ id: `${kind.typeName}Overview` }),
    reads: true,
    permission: `${kind.plural}:read`,
    rest: `GET /${kind.plural}/:id/overview`,
    fails: [410],
  }),
});

const likeness = {
  /** The fields that they have in common. */
  matchedBy: z.array(z.string()),
  /** How likely they are one, 0 to 1. */
  confidence: z.number().min(0).max(1),
  /** What speaks for it, and against it: `weight` is -1 to 1. */
  reasons: z.array(
    z
      .strictObject({ field: z.string(), weight: z.number(), detail: z.string() })
      .meta({ id: "LikenessReason" }),
  ),
};
/** Who else it may be. */
export const comparable = <N extends string, F extends Fields>(kind: Kind<N, F>) => ({
  duplicates: action({
    summary: `Other ${kind.plural} that may be the same, why, and how likely, oldest first`,
    params: z.strictObject({ id, ...pageParams }),
    returns: pageOf(z.strictObject({ record: kind.view, ...likeness })),
    reads: true,
    permission: `${kind.plural}:read`,
    rest: `GET /${kind.plural}/:id/duplicates`,
  }),
});

/** Two and more that are one. */
export const mergeable = <N extends string, F extends Fields>(kind: Kind<N, F>) => ({
  merge: action({
    summary: `Makes one ${kind.name} of several; undone by POST /merges/{id}/undo`,
    params: z.strictObject({
      id,
      /** They are deleted; whatever referred to them refers to the winner. */
      loserIds: z.array(id).min(1).max(20),
      /** By field: the record whose value stays. Default: the winner's, or of the first loser that has one. */
      take: z.partialRecord(z.enum(callersFields(kind)), id).optional(),
    }),
    returns: z.strictObject({ mergeId: id, record: kind.view }),
    kept: ({ mergeId, record }) => ({ mergeId, record: withoutSensitive(record) }),
    permission: `${kind.plural}:delete`,
    rest: `POST /${kind.plural}/:id/merge`,
    fails: [409, 410],
  }),
});
const callersFields = ({ fields }: { fields: Fields }) =>
  Object.entries(fields).flatMap(([key, { setBy }]) => (setBy === "caller" ? [key] : [])) as [
    string,
    ...string[],
  ];

type Verb = "created" | "updated" | "deleted" | "restored" | "merged";
/** What an event says of a record: as it is then and, by field, what differs. */
export const recordData = <N extends string, F extends Fields>(kind: Kind<N, F>) =>
  z.strictObject({
    record: kind.view,
    changes: z.record(z.string(), z.tuple([z.unknown(), z.unknown()])).optional(),
  });
/** `contact.created` and the like. */
export const eventsOf = <N extends string, F extends Fields>(kind: Kind<N, F>) => {
  const data = recordData(kind).extend({
    /** Of a merge: what became part of it, and what undoes it. */
    mergedIds: z.array(id).optional(),
    mergeId: id.optional(),
  });
  const verbs: Verb[] = ["created", "updated", "deleted", "restored", "merged"];
  return Object.fromEntries(verbs.map((verb) => [`${kind.name}.${verb}`, data])) as {
    [V in Verb as `${N}.${V}`]: typeof data;
  };
};

/** Names of the fields that say something of a person. */
export const personalFields = ({ fields }: Pick<AnyKind, "fields">): string[] =>
  Object.entries(fields).flatMap(([key, { personal }]) => (personal ? [key] : []));
