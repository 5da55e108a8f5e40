import type { ServiceBroker } from "moleculer";
import type { ActorAddress } from "./actor-contract.ts";
import type { ActivationView } from "./host.ts";

const usage = `actor list [kind]                                    actors in the memory of every node
actor where <organization> <kind> <id>               which node owns it
actor passivate <organization> <kind> <id>           out of memory, until it is next asked
actor move <organization> <kind> <id> <node>         to another node
A kind is a service and an actor of its contract, as leads.router.`;
const turnAction = /^(.+)\.actors\.turn$/;
const timeout = 10_000;

/** What `actor …` in the REPL answers, from any node of the cluster. @param words what follows `actor` */
export async function actorCommand(broker: ServiceBroker, words: readonly string[]): Promise<string> {
  const [verb, ...rest] = words;
  if (verb === "list" && rest.length <= 1) return list(broker, rest[0]);
  const [organizationId, kind, id, node] = rest;
  if (organizationId === undefined || kind === undefined || id === undefined) return usage;
  const address = { organizationId, kind, id };
  switch (`${verb} ${rest.length}`) {
    case "where 3":
      return where(broker, address);
    case "passivate 3": {
      const owner = (await find(broker, address))?.owner;
      const isDone = owner != null && (await ask<boolean>(broker, address, "passivate", owner));
      return isDone ? `Passivated on ${owner}.` : "It is in no node's memory.";
    }
    case "move 4":
      return move(broker, address, node as string);
    default:
      return usage;
  }
}

const hostsOf = (broker: ServiceBroker, service: string): string[] =>
  (broker.registry.getActionEndpoints(`${service}.actors.turn`)?.endpoints ?? [])
    .filter(({ isAvailable }) => isAvailable)
    .map(({ id }) => id);
const serviceOf = (kind: string): string => kind.split(".")[0] as string;

interface Found {
  owner: string | null;
  epoch: number;
  version: number;
}
const find = (broker: ServiceBroker, address: ActorAddress) => ask<Found | null>(broker, address, "where");

/** Asks a host of the actor's kind, `node` if it still is one. */
function ask<T>(
  broker: ServiceBroker,
  params: ActorAddress,
  action: string,
  node?: string | null,
): Promise<T> {
  const service = serviceOf(params.kind);
  const hosts = hostsOf(broker, service);
  if (hosts.length === 0) throw new Error(`No node hosts ${service}.`);
  const nodeID = node != null && hosts.includes(node) ? node : hosts[0];
  return broker.call<T, ActorAddress>(`${service}.actors.${action}`, params, {
    timeout,
    ...(nodeID !== undefined && { nodeID }),
  });
}

async function list(broker: ServiceBroker, kind: string | undefined): Promise<string> {
  const services = broker.registry
    .getActionList({ onlyAvailable: true })
    .flatMap(({ name }) => turnAction.exec(name)?.[1] ?? []);
  const lines = await Promise.all(
    services.flatMap((service) =>
      hostsOf(broker, service).map(async (nodeID) => {
        const found = await broker.call<ActivationView[], object>(
          `${service}.actors.list`,
          {},
          { nodeID, timeout },
        );
        return found
          .filter((actor) => kind === undefined || actor.kind === kind)
          .map(
            (actor) =>
              `${nodeID}  ${actor.organizationId} ${actor.kind} ${actor.id}  epoch ${actor.epoch ?? "-"}, ${actor.waiting} waiting, idle ${Math.round(actor.idleMs / 1000)} s`,
          );
      }),
    ),
  );
  const all = lines.flat();
  return [...all, `${all.length} in memory.`].join("\n");
}

async function where(broker: ServiceBroker, address: ActorAddress): Promise<string> {
  const found = await find(broker, address);
  if (!found) return "It never had a turn.";
  const { owner, epoch, version } = found;
  const place =
    owner === null
      ? "no node: the next message decides"
      : hostsOf(broker, serviceOf(address.kind)).includes(owner)
        ? owner
        : `${owner}, which is gone: the next message decides`;
  return `On ${place}; epoch ${epoch}, version ${version}.`;
}

async function move(broker: ServiceBroker, address: ActorAddress, to: string): Promise<string> {
  const hosts = hostsOf(broker, serviceOf(address.kind));
  if (!hosts.includes(to)) return `${to} does not host ${address.kind}; these nodes do: ${hosts.join(", ")}.`;
  const owner = (await find(broker, address))?.owner;
  await ask(broker, { ...address, to } as ActorAddress, "move", owner);
  return `Moved to ${to}.`;
}
