import type { ServiceBroker } from "moleculer";
import { systemRole } from "../access/principal.ts";

const usage = `jobs [dead|retrying|waiting|running]     jobs of all organizations, newest first
jobs retry <shard> <id>                 gives a dead job all its tries again
jobs drop <shard> <id>                  forgets a dead job`;
const timeout = 10_000;

interface ListedJob {
  shard: string;
  id: string;
  organizationId: string | null;
  task: string;
  payload: unknown;
  attempts: number;
  maxAttempts: number;
  lastError: string | null;
}

interface Listed {
  jobs: ListedJob[];
  silent: { shard: string; error: string }[];
}

/** What `jobs …` in the REPL answers, from any node of the cluster. @param words what follows `jobs` */
export async function jobCommand(broker: ServiceBroker, words: readonly string[]): Promise<string> {
  const [verb = "dead", shard, id] = words;
  const meta = { role: systemRole };
  if (["dead", "retrying", "waiting", "running"].includes(verb) && words.length <= 1) {
    const { jobs, silent } = await broker.call<Listed, object>(
      "jobs.listAll",
      { state: verb },
      { meta, timeout },
    );
    const lines = silent.map(({ shard, error }) => `${shard} DOES NOT ANSWER: ${error}`);
    return [...lines, ...(jobs.length === 0 ? [`No job is ${verb}.`] : jobs.map(line))].join("\n");
  }
  if ((verb === "retry" || verb === "drop") && id !== undefined && words.length === 3) {
    const isDone = await broker.call<boolean, object>(`jobs.${verb}Any`, { shard, id }, { meta, timeout });
    return isDone ? "Done." : "There is no such dead job.";
  }
  return usage;
}

const line = (job: ListedJob): string =>
  `${job.shard} ${job.id}  ${job.task} ${JSON.stringify(job.payload)}  of ${job.organizationId ?? "the platform"}, `
  + `${job.attempts} of ${job.maxAttempts} tries${job.lastError === null ? "" : `: ${job.lastError}`}`;
