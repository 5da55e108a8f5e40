import { kinds } from "../entities/kinds.ts";
import { contracts } from "./contracts.ts";

/** Every service with a contract, and what has none. */
const background = [...contracts.map(({ name }) => name as string), "worker", "mirror"];
/** Services that users wait for: sign-in, records of every kind, the feed. */
const hot = [
  "identity",
  ...[...kinds.values()].map(({ plural }) => plural),
  "records",
  "custom-fields",
  "events",
];
const core = [...background, "cron"];

/**
 * Services of each role. A gateway hosts the hot services too: its calls to them stay in the process. Gateways and
 * cores are a whole system; workers add hands for background work, and a core whose services are listed without `worker`
 * and `cron` leaves it to them.
 */
export const servicesByRole: Record<string, readonly string[]> = {
  gateway: ["gateway", ...hot],
  core,
  worker: background,
  cron: ["cron"],
};
/** Every service, in the order they are made: the gateway last, when what it calls is there. */
export const allServices: readonly string[] = [...core, "gateway"];

/**
 * The services a process hosts, from names of roles and services. A name that is both means the role;
 * `service:gateway` is the service alone, and `-cron` takes a service away.
 * @throws Error naming what it does not know
 */
export function chooseServices(names: readonly string[] | undefined): string[] {
  if (names === undefined) return [...allServices];
  const chosen = new Set<string>();
  const isTaken = (name: string) => name.startsWith("-");
  // whatever is taken away goes last
  for (const name of [...names.filter((one) => !isTaken(one)), ...names.filter(isTaken)]) {
    if (isTaken(name) && allServices.includes(name.slice(1))) {
      chosen.delete(name.slice(1));
      continue;
    }
    const service = name.replace(/^service:/, "");
    const members =
      (service === name ? servicesByRole[name] : undefined)
      ?? (allServices.includes(service) ? [service] : undefined);
    if (members === undefined)
      throw new Error(
        `SERVICES names "${name}"; it may list the roles ${Object.keys(servicesByRole).join(", ")} and the services ${allServices.join(", ")}; - before a service takes it away.`,
      );
    for (const member of members) chosen.add(member);
  }
  return allServices.filter((service) => chosen.has(service));
}
