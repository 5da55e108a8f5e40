import type { ServiceBroker } from "moleculer";
import { readLeader } from "../mixins/concurrency/leader.ts";
import type { Runtime } from "../mixins/contract/service.ts";
import type { Check } from "../mixins/process/health.ts";
import { servicesByRole } from "./roles.ts";

/** Without these a gateway serves nobody: sign-in, records and the feed. */
const hot = (servicesByRole.gateway as readonly string[]).filter((name) => name !== "gateway");
/** The others that answer requests. */
const othersOf = ({ contracts }: Pick<Runtime, "contracts">): string[] =>
  contracts
    .filter(({ actions }) => Object.values(actions).some(({ rest }) => rest !== undefined))
    .map(({ name }) => name)
    .filter((name) => !hot.includes(name));

/**
 * The parts a node works with. Vital is only what it cannot work without: the database for all; NATS where calls come or go
 * over it, which is everywhere but on a gateway that hosts what is hot itself; for a gateway, somebody who offers that.
 * @param hosted services of this node
 */
export function healthChecks(
  runtime: Pick<Runtime, "database" | "redis" | "env" | "contracts">,
  broker: ServiceBroker,
  hosted: readonly string[],
): Check[] {
  const { database, redis, env } = runtime;
  const others = othersOf(runtime);
  const isGateway = hosted.includes("gateway");
  const isWhole = isGateway && hot.every((name) => hosted.includes(name));
  const checks: Check[] = [{ name: "database", isVital: true, ask: () => database.ping() }];
  if (env.NATS_URL !== undefined)
    checks.push({ name: "nats", isVital: !isWhole, ask: () => askNats(broker) });
  if (redis) checks.push({ name: "redis", isVital: false, ask: () => redis.ping() });
  if (!isGateway) return checks;
  const over = env.NATS_URL === undefined ? {} : { over: "nats" };
  const offered = { isInstant: true, ...over };
  return [
    ...checks,
    { name: "services", isVital: true, ...offered, ask: () => requireOffered(broker, hot) },
    { name: "otherServices", isVital: false, ...offered, ask: () => requireOffered(broker, others) },
    {
      name: "cron",
      isVital: false,
      over: "database",
      async ask() {
        const leader = await database.transaction({ platform: database.control }, (tx) =>
          readLeader(tx, "cron"),
        );
        if (!leader) throw new Error("nobody leads the scheduled work");
        return `led by ${leader.nodeId}`;
      },
    },
  ];
}

/** A question to the server itself: a connection may look open long after the server is gone. */
async function askNats({ transit }: ServiceBroker): Promise<void> {
  // moleculer's types do not show the connection of its transporter
  const { client } = (transit?.tx ?? {}) as { client?: { rtt(): Promise<number> } | null };
  if (transit?.connected !== true || !client) throw new Error("not connected yet");
  await client.rtt().catch((error: Error) => {
    throw new Error(`the connection is lost (${error.message})`);
  });
}

/** @throws Error naming those that no node offers now */
function requireOffered(broker: ServiceBroker, names: readonly string[]): void {
  const offered = new Set(
    broker.registry.getServiceList({ onlyAvailable: true }).map(({ name }: { name: string }) => name),
  );
  const missing = names.filter((name) => !offered.has(name));
  if (missing.length > 0) throw new Error(`no node offers ${missing.join(", ")}`);
}
