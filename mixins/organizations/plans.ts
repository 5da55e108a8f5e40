import { appError } from "../contract/errors.ts";

/** What an organization on a plan may have; null: no limit. */
export interface PlanLimits {
  /** Active users. */
  users: number | null;
  /** Records of each kind that are not deleted. */
  records: number | null;
  /** Files that are kept. */
  storageBytes: number | null;
  /** Requests in a day, UTC. */
  apiCallsPerDay: number | null;
  /** Requests all its users may make together in a minute, as a multiple of RATE_LIMIT_PER_MINUTE_ORGANIZATION. */
  rateFactor: number;
}

const gigabyte = 1024 ** 3;
const unlimited: PlanLimits = {
  users: null,
  records: null,
  storageBytes: null,
  apiCallsPerDay: null,
  rateFactor: 5,
};

/** Every plan. A trial is made to be filled with what one has; `expired` is one that is over, and may be read. */
export const plans = {
  trial: {
    users: 100,
    records: 1_000_000,
    storageBytes: 5 * gigabyte,
    apiCallsPerDay: 5_000_000,
    rateFactor: 1,
  },
  expired: { users: 0, records: 0, storageBytes: 0, apiCallsPerDay: 20_000, rateFactor: 0.5 },
  starter: {
    users: 10,
    records: 50_000,
    storageBytes: 10 * gigabyte,
    apiCallsPerDay: 200_000,
    rateFactor: 1,
  },
  growth: {
    users: 100,
    records: 1_000_000,
    storageBytes: 100 * gigabyte,
    apiCallsPerDay: 5_000_000,
    rateFactor: 2,
  },
  enterprise: unlimited,
} as const satisfies Record<string, PlanLimits>;
export type PlanName = keyof typeof plans;
export const planNames = Object.keys(plans) as [PlanName, ...PlanName[]];

/** Of a plan; one that is not in the table has no limits. */
export const limitsOf = (plan: string): PlanLimits =>
  (plans as Record<string, PlanLimits>)[plan] ?? unlimited;

const words: Readonly<Record<string, string>> = {
  users: "active users",
  storageBytes: "bytes of files",
  apiCallsPerDay: "requests a day",
};

/**
 * What an organization has used up of its plan: 403, and 429 for requests, which come back tomorrow.
 * @param resource a limit of the plan, or records by their plural
 */
export const quotaExceeded = (
  resource: string,
  { plan, limit, retryAfterSeconds }: { plan: string; limit: number; retryAfterSeconds?: number },
) =>
  appError(
    retryAfterSeconds === undefined ? 403 : 429,
    "QUOTA_EXCEEDED",
    `The plan ${plan} allows ${limit} ${words[resource] ?? resource}.`,
    { resource, limit, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) },
  );
