import type { Contract } from "../../mixins/contract/contract.ts";
import type { QueueName } from "../../mixins/jobs/job-spec.ts";

/** The tasks that a process with these services can run, by queue. */
export function hostedTasks(
  contracts: readonly Contract[],
  services: readonly string[],
): Map<QueueName, string[]> {
  const tasks = new Map<QueueName, string[]>();
  const add = (queue: QueueName, task: string) => {
    const known = tasks.get(queue);
    if (known) known.push(task);
    else tasks.set(queue, [task]);
  };
  for (const { name, jobs, listeners } of contracts) {
    if (!services.includes(name)) continue;
    for (const [job, { queue = "default" }] of Object.entries(jobs)) add(queue, `${name}.${job}`);
    for (const listener of Object.keys(listeners)) add("listeners", `${name}.${listener}`);
  }
  return tasks;
}

/** The queue of each task. */
export function queueOfTask(contracts: readonly Contract[]): Map<string, QueueName> {
  const all = hostedTasks(
    contracts,
    contracts.map(({ name }) => name),
  );
  return new Map([...all].flatMap(([queue, tasks]) => tasks.map((task) => [task, queue] as const)));
}

/** The jobs that run also while their organization is suspended. */
export const tasksWhileSuspended = (contracts: readonly Contract[]): ReadonlySet<string> =>
  new Set(
    contracts.flatMap(({ name, jobs }) =>
      Object.entries(jobs).flatMap(([job, { whileSuspended }]) => (whileSuspended ? [`${name}.${job}`] : [])),
    ),
  );
