import type { ServiceBroker } from "moleculer";
import { systemRole } from "../access/principal.ts";
import { planNames } from "./plans.ts";

const usage = `organization suspend <id> <reason>     nobody may act for it, and its jobs wait
organization resume <id>               ends that
organization plan <id> <plan>          ${planNames.join(", ")}`;

/** What `organization …` in the REPL answers, from any node of the cluster. @param words what follows */
export async function organizationCommand(broker: ServiceBroker, words: readonly string[]): Promise<string> {
  const [verb, organizationId, ...rest] = words;
  const text = rest.join(" ");
  const call = async (action: string, params: object) => {
    const answer = await broker.call(
      `identity.${action}`,
      { organizationId, ...params },
      { meta: { role: systemRole }, timeout: 10_000 },
    );
    return JSON.stringify(answer, null, 2);
  };
  if (organizationId === undefined) return usage;
  if (verb === "suspend" && text !== "") return call("suspendOrganization", { reason: text });
  if (verb === "resume" && text === "") return call("resumeOrganization", {});
  if (verb === "plan" && text !== "") return call("setPlan", { plan: text });
  return usage;
}
