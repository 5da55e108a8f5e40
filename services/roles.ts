const background = [
  ...["identity", "teams", "leads", "contacts", "companies", "deals", "pipelines", "products"],
  ...["records", "custom-fields", "imports", "analytics", "events"],
  ...["jobs", "privacy", "worker", "mirror"],
];
const core = [...background, "cron"];

/**
 * Services of each role. A gateway hosts the hot services too: its calls to them stay in the process. Gateways and
 * cores are a whole system; workers add hands for background work, and a core whose services are listed without `worker`
 * and `cron` leaves it to them.
 */
export const servicesByRole: Record<string, readonly string[]> = {
  gateway: [
    ...["gateway", "identity", "leads", "contacts", "companies", "deals", "pipelines", "products"],
    ...["records", "custom-fields", "events"],
  ],
  core,
  worker: background,
  cron: ["cron"],
};
/** Every service, in the order they are made: the gateway last, when what it calls is there. */
export const allServices: readonly string[] = [...core, "gateway"];

/**
 * The services a process hosts, from names of roles and services. A name that is both means the role;
 * `service:gateway` is the service alone.
 * @throws Error naming what it does not know
 */
export function chooseServices(names: readonly string[] | undefined): string[] {
  if (names === undefined) return [...allServices];
  const chosen = new Set<string>();
  for (const name of names) {
    const service = name.replace(/^service:/, "");
    const members =
      (service === name ? servicesByRole[name] : undefined)
      ?? (allServices.includes(service) ? [service] : undefined);
    if (members === undefined)
      throw new Error(
        `SERVICES names "${name}"; it may list the roles ${Object.keys(servicesByRole).join(", ")} and the services ${allServices.join(", ")}.`,
      );
    for (const member of members) chosen.add(member);
  }
  return allServices.filter((service) => chosen.has(service));
}
