import type { Statement } from "../database/statement.ts";
import type { FairShare } from "./fair-share.ts";
import type { JobOrigin, NewJob } from "./job-spec.ts";

/**
 * The statement that adds jobs in a transaction.
 * @param options.own organization of the transaction, "" for the platform's
 * @param options.origin goes with every job
 */
export function enqueueStatement(
  jobs: readonly NewJob[],
  options: { own: string; origin: JobOrigin | undefined; fairShare: FairShare },
): Statement {
  const { own, origin, fairShare } = options;
  const byOrganization = Map.groupBy(jobs, ({ organizationId = own }) => organizationId);
  const specs = [...byOrganization].flatMap(([organizationId, theirs]) => {
    const priorities = fairShare.take(organizationId, theirs.length);
    return theirs.map((job, index) => ({ ...job, origin, priority: priorities[index] }));
  });
  return { name: "enqueue_jobs", text: "SELECT enqueue_jobs($1)", values: [JSON.stringify(specs)] };
}
