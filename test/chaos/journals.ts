import { setTimeout } from "node:timers/promises";
import { ServiceBroker } from "moleculer";
import { v7 as uuidv7 } from "uuid";
import { readEnv } from "../../mixins/process/env.ts";
import { brokerOptions } from "../../moleculer.config.ts";
import type { Cluster } from "./cluster.ts";
import { patienceMs, type GoodClient, type Operation } from "./good-client.ts";
import type { Seeded } from "./seeded.ts";

const ids = ["a", "b", "c"];
const requestTimeoutMs = 10_000;
/** Refusals that say nothing about the message itself. */
const statusesToRepeat = new Set([404, 429, 503, 504]);

/** Where a message stands, as its sender was told, and when it was sent first and answered. */
interface Line {
  line: number;
  begunAt: number;
  acknowledgedAt: number;
}

/** Sends messages to actors from a node of its own in the cluster, each until it is answered. */
export class Journals {
  /** What was acknowledged of each journal, by message. */
  readonly lines = new Map<string, Map<string, Line>>(ids.map((id) => [id, new Map()]));
  readonly #broker: ServiceBroker;
  readonly #client: GoodClient;
  readonly #seeded: Seeded;

  private constructor(broker: ServiceBroker, client: GoodClient, seeded: Seeded) {
    this.#broker = broker;
    this.#client = client;
    this.#seeded = seeded;
  }

  static async open(options: { cluster: Cluster; client: GoodClient; seeded: Seeded }): Promise<Journals> {
    const env = readEnv({ NATS_URL: options.cluster.natsUrl, NODE_ID: "clients", LOG_LEVEL: "fatal" });
    const broker = new ServiceBroker(brokerOptions(env));
    await broker.start();
    await broker.waitForServices("witness");
    return new Journals(broker, options.client, options.seeded);
  }

  /** Has a journal write down a new message. @throws Error when it is refused for good, or not answered in time */
  async append(): Promise<Operation> {
    const journal = this.#seeded.pick(ids);
    const messageId = uuidv7();
    const { organizationId, userId } = this.#client;
    const begunAt = performance.now();
    for (let repeated = 0; ; repeated++) {
      try {
        const line = await this.#broker.call<number, object>(
          "witness.append",
          { journal, messageId },
          { meta: { organizationId, userId, role: "admin" }, timeout: requestTimeoutMs },
        );
        const acknowledgedAt = performance.now();
        this.lines.get(journal)?.set(messageId, { line, begunAt, acknowledgedAt });
        return { workload: "turns", begunAt, acknowledgedAt, repeated, body: line };
      } catch (error) {
        const { code, message } = error as { code?: number; message: string };
        const isOver = performance.now() - begunAt > patienceMs;
        if (isOver || !statusesToRepeat.has(code ?? 500)) {
          this.#client.failures.push(`turns: ${journal} after ${repeated} repetitions: ${code} ${message}`);
          throw error;
        }
        await setTimeout(this.#seeded.between(50, 400));
      }
    }
  }

  async close(): Promise<void> {
    await this.#broker.stop().catch(() => undefined); // NATS may be away
  }
}
