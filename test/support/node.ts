import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { readEnv } from "../../mixins/process/env.ts";
import type { Meta } from "../../mixins/contract/meta.ts";
import { startNode, type ExtraService, type Node } from "../../services/node.ts";
import type { ActionName, Actions } from "../../services/contracts.ts";
import type { ParamsIn, ResultOf } from "../../mixins/contract/contract.ts";
import { createDatabase, dropDatabase } from "./database.ts";

export interface TestNode extends Node {
  /** URLs of its databases, as owner: the control database with the first shard, and the second shard. */
  databases: string[];
  /** A typed call with this meta, as an internal caller makes it. */
  call<N extends ActionName>(
    name: N,
    params: ParamsIn<Actions[N]>,
    meta?: Meta,
  ): Promise<ResultOf<Actions[N]>>;
}

/** Settings of a test node; every port is free, results are always checked. */
export function testEnv(databases: string[], settings: Record<string, string> = {}) {
  return readEnv({
    HOST: "127.0.0.1",
    PORT: "0",
    METRICS_PORT: "0",
    DATABASE_URL: databases[0],
    DATABASE_SHARDS: databases.slice(1).join(","),
    MASTER_KEY: Buffer.alloc(32, 7).toString("base64"),
    CHECK_RESULTS: "always",
    LOG_LEVEL: process.env.TEST_LOG_LEVEL ?? "error",
    RATE_LIMIT_PER_MINUTE: "1000000",
    SEED_DEMO: "false",
    DRAIN_SECONDS: "0",
    NODE_ID: `test-${Math.random().toString(36).slice(2)}`,
    ...settings,
  });
}

/** Starts a node with two databases of its own. Stop it with `stop()`, which drops them too. */
export async function startTestNode(
  settings: Record<string, string> = {},
  extras: readonly ExtraService[] = [],
): Promise<TestNode> {
  const databases = [await createDatabase(), await createDatabase()];
  const node = await startNode(testEnv(databases, settings), extras);
  return {
    ...node,
    databases,
    call: (name, params, meta = {}) => node.broker.call(name, params as never, { meta }) as never,
    async stop() {
      await node.stop();
      for (const url of databases) await dropDatabase(url);
    },
  };
}

/** Where the gateway of a test node listens. */
export function originOf(node: TestNode): string {
  const gateway = node.broker.getLocalService("gateway") as unknown as { server: Server };
  return `http://127.0.0.1:${(gateway.server.address() as AddressInfo).port}`;
}

/** Asks until `ask` answers something true, or fails after `timeoutMs` with its last answer. */
export async function eventually<T>(
  ask: () => Promise<T> | T,
  timeoutMs = 10_000,
): Promise<Exclude<NonNullable<T>, false>> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer) return answer as Exclude<NonNullable<T>, false>;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline)
      throw last instanceof Error
        ? last
        : new Error(`Not so after ${timeoutMs} ms; last answer: ${JSON.stringify(last)}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}
