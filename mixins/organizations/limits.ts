import { conflict } from "../contract/errors.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";

/** How many there may be of what users make without paying for it; see plans.ts for what plans allow. */
interface Limit {
  most: number;
  /** Completes "There may be 50 …". */
  words: string;
  /** The rows that count, after `organization_id = $1`; $2 is whose they are, where they are counted by that. */
  rows: { table: string; where?: string };
}

/** Every limit there is, whatever the plan. */
export const limits = {
  apiKeysOfUser: {
    most: 50,
    words: "API keys of one user",
    rows: { table: "control.api_keys", where: "user_id = $2 AND revoked_at IS NULL" },
  },
  apiKeys: {
    most: 1_000,
    words: "API keys of an organization",
    rows: { table: "control.api_keys", where: "revoked_at IS NULL" },
  },
  invites: {
    most: 1_000,
    words: "invitations that wait",
    rows: { table: "control.invites", where: "expires_at > now()" },
  },
  identitiesOfUser: {
    most: 20,
    words: "linked accounts of one user",
    rows: { table: "control.identities", where: "user_id = $2" },
  },
  roles: { most: 100, words: "roles of an organization's own", rows: { table: "control.roles" } },
  teams: { most: 1_000, words: "teams", rows: { table: "teams" } },
  // every process keeps these at hand, and a list shows all their values
  sensitiveFields: {
    most: 20,
    words: "sensitive custom fields",
    rows: { table: "custom_fields", where: "is_sensitive" },
  },
  customFields: { most: 500, words: "custom fields", rows: { table: "custom_fields" } },
  viewsOfUser: {
    most: 500,
    words: "views of one user",
    rows: { table: "saved_views", where: "owner_id = $2" },
  },
  listsOfUser: { most: 500, words: "lists of one user", rows: { table: "lists", where: "owner_id = $2" } },
  assignmentPools: { most: 200, words: "assignment pools", rows: { table: "assignment_pools" } },
  remindersOfLead: {
    most: 100,
    words: "reminders of one lead",
    rows: { table: "lead_reminders", where: "lead_id = $2" },
  },
  reminders: {
    most: 50_000,
    words: "reminders that wait",
    rows: { table: "lead_reminders", where: "reminded_at IS NULL" },
  },
  commentsOfRecord: {
    most: 10_000,
    words: "comments on one record",
    rows: { table: "comments", where: "record_id = $2" },
  },
  imports: {
    most: 50,
    words: "imports that are not finished",
    rows: { table: "imports", where: "status IN ('pending', 'running', 'rolling_back')" },
  },
  privacyRequests: {
    most: 100,
    words: "exports and erasures that are not finished",
    rows: { table: "privacy_requests", where: "status <> 'completed' AND kind <> 'retention'" },
  },
} as const satisfies Record<string, Limit>;
export type LimitName = keyof typeof limits;

/** Sessions of one user that have not ended: one more ends the one that was used longest ago, which nobody is refused for. */
export const mostSessionsOfUser = 100;

/**
 * Refuses what would be one too many. Those who make some at once take turns from here until their transactions end, so a
 * limit is never passed. One round trip.
 * @param options.of whose they are, where they are counted by that: a user's or a lead's id
 * @param options.organizationId in a transaction of the platform
 * @param options.adding how many are to be added; 0 when they have been. Default 1
 * @throws 409 LIMIT_REACHED
 */
export async function requireRoomFor(
  tx: UnitOfWork,
  name: LimitName,
  options: { of?: string; organizationId?: string; adding?: number } = {},
): Promise<void> {
  const { most, words, rows }: Limit = limits[name];
  const { of, organizationId = tx.organizationId, adding = 1 } = options;
  const whose = [organizationId, ...(of === undefined ? [] : [of])];
  const where = ["organization_id = $1", ...(rows.where === undefined ? [] : [rows.where])].join(" AND ");
  const [, [counted]] = await Promise.all([
    tx.query({
      name: "lock_limit",
      text: "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
      values: [["limit", name, ...whose].join(" ")],
    }),
    // a statement of its own: it sees what was committed while the one before waited
    tx.query<{ count: number }>({
      name: `count_${name}`,
      text: `SELECT count(*)::int AS count FROM (SELECT FROM ${rows.table} WHERE ${where} LIMIT ${most + 1}) AS counted`,
      values: whose,
    }),
  ]);
  if ((counted?.count ?? 0) + adding > most)
    throw conflict("LIMIT_REACHED", `There may be ${most} ${words}; delete one first.`);
}
