import { z } from "zod";
import { action } from "../../../mixins/contract/contract.ts";
import { byIdOf, listParams, type Listing } from "../../../mixins/records/finding/listing.ts";
import { byId, id, nameText, pageOf, timeInput, timestamp } from "../../../mixins/contract/schemas.ts";

const apiKey = z
  .strictObject({
    id,
    name: z.string(),
    /** How the key begins, after `sgm_`; tells keys apart. */
    prefix: z.string(),
    scopes: z.array(z.string()),
    /** On whose behalf it acts. */
    userId: id,
    lastUsedAt: timestamp.nullable(),
    expiresAt: timestamp.nullable(),
    createdAt: timestamp,
  })
  .meta({ id: "ApiKey" });
export type ApiKeyView = z.output<typeof apiKey>;

export const apiKeyListing: Listing = {
  table: "control.api_keys",
  fields: {
    id: "uuid",
    name: "text",
    prefix: "text",
    scopes: "text[]",
    userId: "uuid",
    lastUsedAt: "timestamp",
    expiresAt: "timestamp",
    createdAt: "timestamp",
  },
  filterable: ["name", "prefix", "userId", "createdAt"],
  sortable: ["createdAt", "name"],
  defaultSort: "createdAt",
};

export const apiKeyActions = {
  createApiKey: action({
    summary: "Makes an API key that acts for the caller, within some of the caller's permissions",
    params: z.strictObject({
      name: nameText(100),
      scopes: z.array(z.string().max(100)).min(1).max(200),
      /** Default: it does not expire. */
      expiresAt: timeInput.optional(),
    }),
    returns: apiKey.extend({
      /** The key itself, this once: null in a repeated answer. */
      key: z.string().nullable(),
    }),
    kept: (made) => ({ ...made, key: null }),
    permission: "api-keys:create",
    rest: "POST /api-keys",
    status: 201,
  }),
  listApiKeys: action({
    summary: "Lists the caller's API keys; an admin's list holds everybody's",
    params: listParams(apiKeyListing),
    returns: pageOf(apiKey.partial().extend({ id }).meta({ id: "ApiKeyPart" })),
    reads: true,
    permission: "api-keys:read",
    rest: "GET /api-keys",
  }),
  getApiKey: action({
    summary: "One API key, without the key itself",
    params: byIdOf(apiKeyListing),
    returns: apiKey,
    reads: true,
    permission: "api-keys:read",
    rest: "GET /api-keys/:id",
  }),
  revokeApiKey: action({
    summary: "Ends an API key, on every node within two seconds",
    params: byId,
    returns: z.null(),
    permission: "api-keys:delete",
    rest: "DELETE /api-keys/:id",
    status: 204,
  }),
  findApiKey: action({
    summary: "The live API key with this prefix and hash",
    params: z.strictObject({ prefix: z.string().length(12), hash: z.string().length(64) }),
    returns: z
      .strictObject({
        id,
        organizationId: id,
        userId: id,
        role: z.string(),
        scopes: z.array(z.string()),
        expiresAt: timestamp.nullable(),
      })
      .nullable(),
    permission: "public",
  }),
};
