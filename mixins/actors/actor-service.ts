import type { Context, ServiceSchema } from "moleculer";
import type { Database } from "../database/database.ts";
import type { Meta } from "../contract/meta.ts";
import type { Organizations } from "../organizations/organizations.ts";
import type { Poller } from "../concurrency/poller.ts";
import type { ActorAddress, ActorHandlers, ActorSpec } from "./actor-contract.ts";
import { assignActor, findActor } from "./actors.repository.ts";
import { deliverTo, type ActorClient, type Envelope } from "./client.ts";
import { ActorHost, type HostOptions } from "./host.ts";
import { reminderPollers } from "./reminders.ts";

/** What a service that hosts actors needs of its process. */
export interface ActorRuntime {
  database: Database;
  actors: ActorClient;
  organizations: Pick<Organizations, "of">;
  onEvents(organizationId: string): void;
  checkResults: "always" | "sampled" | "never";
}

/** The handlers of each actor of a contract. */
export type ActorHandlersOf<C extends { actors: Record<string, ActorSpec> }> = {
  [K in keyof C["actors"]]: ActorHandlers<C["actors"][K]>;
};

/**
 * The part of a Moleculer service that hosts the actors of its contract: internal actions by which other nodes bring
 * messages (`leads.actors.turn`) and operators look and move, and the actors' life from start to drain.
 */
export function actorService<C extends { name: string; actors: Record<string, ActorSpec> }>(
  contract: C,
  handlers: ActorHandlersOf<C>,
  runtime: ActorRuntime,
  options: HostOptions = {},
): Partial<ServiceSchema> {
  const { database, actors: client, organizations } = runtime;
  const actors = Object.fromEntries(
    Object.entries(contract.actors).map(([name, spec]) => [
      `${contract.name}.${name}`,
      { spec, handlers: handlers[name] as unknown as ActorHandlers },
    ]),
  );
  let onError: (error: Error) => void = () => undefined;
  const report = (error: Error) => onError(error);
  const host = new ActorHost(contract.name, actors, { ...runtime, client, onError: report }, options);
  const pollers: Poller[] = reminderPollers(database, client, host.kinds, {
    isPaused: async (organizationId) => (await organizations.of(organizationId)).isSuspended,
    onError: report,
  });
  return {
    actions: {
      "actors.turn": (ctx: Context<Envelope, Meta>) => deliverTo(host, ctx.params, ctx.meta),
      /** Actors in the memory of this node. */
      "actors.list": () => host.list(),
      /** Owner, epoch and version of an actor; null when it never had a turn. */
      "actors.where": async ({ params }: Context<ActorAddress>) =>
        (await database.transaction(params, (tx) => findActor(tx, params))) ?? null,
      /** Takes an actor out of this node's memory. */
      "actors.passivate": ({ params }: Context<ActorAddress>) => host.passivate(params),
      /** Gives an actor to the node `to`, after the turn in hand when it runs here. */
      "actors.move": async ({ params: { to, ...address } }: Context<ActorAddress & { to: string }>) =>
        (await host.passivate(address, to))
        || (await database.transaction(address, (tx) => assignActor(tx, address, to))) === 1,
    },
    async started() {
      onError = (error) => this.logger.warn(error.message);
      await client.open(contract.name, host);
      for (const poller of pollers) poller.start();
    },
    async stopped() {
      await Promise.all(pollers.map((poller) => poller.stop()));
      await client.close(contract.name);
    },
  } as Partial<ServiceSchema>;
}
