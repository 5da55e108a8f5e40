import type { Contract } from "../contract/contract.ts";
import type { Database } from "../database/database.ts";

/** Jobs that run on the platform's behalf, past row-level security: only it may add them. */
export const platformTasks = (contracts: readonly Contract[]): string[] =>
  contracts.flatMap(({ name, jobs }) =>
    Object.entries(jobs).flatMap(([job, { scope }]) => (scope === "platform" ? [`${name}.${job}`] : [])),
  );

/** Tells every database which jobs no organization may add. */
export async function declarePlatformTasks(
  database: Database,
  contracts: readonly Contract[],
): Promise<void> {
  const values = [platformTasks(contracts)];
  await database.eachShard((target) =>
    database.transaction(target, (tx) =>
      tx.execute({
        text: "INSERT INTO platform_tasks (task) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING",
        values,
      }),
    ),
  );
}
