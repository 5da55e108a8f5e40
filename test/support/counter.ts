import { ServiceBroker } from "moleculer";
import { z } from "zod";
import { actor, type ActorHandlers, type ActorRef } from "../../mixins/actors/actor-contract.ts";
import { systemActorRef } from "../../mixins/actors/actor-ref.ts";
import { actorService } from "../../mixins/actors/actor-service.ts";
import { ActorClient } from "../../mixins/actors/client.ts";
import type { HostOptions } from "../../mixins/actors/host.ts";
import { defineContract } from "../../mixins/contract/contract.ts";
import { Database } from "../../mixins/database/database.ts";
import { Organizations } from "../../mixins/organizations/organizations.ts";
import { appError } from "../../mixins/contract/errors.ts";
import { brokerOptions } from "../../moleculer.config.ts";
import { eventually } from "./eventually.ts";
import { testEnv } from "./node.ts";

export const counterContract = defineContract("counter", {
  actions: {},
  events: {},
  actors: {
    tally: actor({
      state: z.strictObject({ count: z.number().int(), log: z.array(z.string()).default([]) }),
      messages: {
        /** Adds, notes `note` in the state, and answers the new count. */
        add: {
          params: z.strictObject({ by: z.number().int().default(1), note: z.string().optional() }),
          returns: z.number(),
        },
        get: {
          params: z.strictObject({}),
          returns: z.strictObject({ count: z.number(), log: z.array(z.string()) }),
        },
        /** Changes the state and writes a row, then fails. */
        fail: { params: z.strictObject({}), returns: z.null() },
        /** Holds the turn for so long. */
        wait: { params: z.strictObject({ ms: z.number() }), returns: z.null() },
        remind: { params: z.strictObject({ afterMs: z.number(), by: z.number() }), returns: z.null() },
        cancel: { params: z.strictObject({}), returns: z.null() },
        timer: { params: z.strictObject({ afterMs: z.number(), by: z.number() }), returns: z.null() },
      },
    }),
  },
});
export type Tally = (typeof counterContract)["actors"]["tally"];

/** A row outside the actor's state, in the turn's transaction: what it says must always agree with the state. */
const writeRow = (name: string, organizationId: string, id: string) => ({
  text: `INSERT INTO companies (organization_id, id, name, created_at, updated_at)
    VALUES ($1, gen_random_uuid(), $2, now(), now())`,
  values: [organizationId, `${id} ${name}`],
});

export const tally: ActorHandlers<Tally> = {
  initial: () => ({ count: 0 }),
  messages: {
    add(turn, { by, note }) {
      turn.state.count += by;
      if (note !== undefined) turn.state.log.push(note);
      turn.tx.defer(writeRow("add", turn.organizationId, turn.id));
      return turn.state.count;
    },
    get: ({ state }) => state,
    async fail(turn) {
      turn.state.count += 1000;
      await turn.tx.query(writeRow("fail", turn.organizationId, turn.id));
      throw appError(409, "MADE_TO_FAIL", "As asked.");
    },
    async wait(_turn, { ms }) {
      await new Promise((done) => setTimeout(done, ms));
      return null;
    },
    remind(turn, { afterMs, by }) {
      turn.remind("wake", new Date(turn.now.getTime() + afterMs), "add", { by, note: "reminded" });
      return null;
    },
    cancel(turn) {
      turn.cancelReminder("wake");
      turn.cancelTimer("tick");
      return null;
    },
    timer(turn, { afterMs, by }) {
      turn.timer("tick", afterMs, "add", { by, note: "timed" });
      return null;
    },
  },
};

/** A broker that hosts counters, as a process of its own would. */
export interface CounterNode {
  broker: ServiceBroker;
  database: Database;
  actors: ActorClient;
  /** A counter, asked from this node. */
  counter(organizationId: string, id: string): ActorRef<Tally>;
  stop(): Promise<void>;
}

/** @param natsUrl none: a node alone */
export async function startCounterNode(
  databases: string[],
  natsUrl: string | undefined,
  options: HostOptions & {
    hosts?: boolean;
    name?: string;
    poolSize?: number;
    checkResults?: "always" | "sampled";
  } = {},
): Promise<CounterNode> {
  const { hosts = true, name, poolSize = 4, checkResults = "always", ...hostOptions } = options;
  const env = testEnv(databases, {
    ...(natsUrl !== undefined && { NATS_URL: natsUrl }),
    ...(name !== undefined && { NODE_ID: name }),
  });
  const broker = new ServiceBroker(brokerOptions(env));
  const database = await Database.open(databases, {
    logicalShards: 16,
    poolSize,
    onError: () => undefined,
  });
  const actors = new ActorClient(broker, database);
  const organizations = new Organizations(database, () => undefined);
  if (hosts)
    broker.createService({
      name: "counter",
      mixins: [
        actorService(
          counterContract,
          { tally },
          { database, actors, organizations, onEvents: () => undefined, checkResults },
          hostOptions,
        ) as never,
      ],
    });
  await broker.start();
  organizations.start();
  return {
    broker,
    database,
    actors,
    counter: (organizationId, id) => systemActorRef(actors, { organizationId, kind: "counter.tally", id }),
    async stop() {
      await broker.stop();
      await organizations.stop();
      await database.close();
    },
  };
}

/** Resolves when each node knows that all of them host counters. */
export const seeEachOther = (nodes: CounterNode[]) =>
  eventually(() => nodes.every((node) => node.actors.hostsOf("counter").length === nodes.length));
