import { readEnv } from "../../mixins/process/env.ts";
import { startNode, type ExtraService, type Node } from "../../services/node.ts";
import { createDatabase, dropDatabase } from "./database.ts";

export { startNode };

/** A node with databases of its own. */
export interface OwnNode extends Node {
  /** URLs of its databases, as owner: the control database with the first shard, and the second shard. */
  databases: string[];
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

/** Starts a node with two databases of its own; `stop()` drops them too. */
export async function startOwnNode(
  settings: Record<string, string> = {},
  extras: readonly ExtraService[] = [],
): Promise<OwnNode> {
  const databases = [await createDatabase(), await createDatabase()];
  const node = await startNode(testEnv(databases, settings), extras);
  return {
    ...node,
    databases,
    async stop() {
      await node.stop();
      for (const url of databases) await dropDatabase(url);
    },
  };
}

let shared: Promise<OwnNode> | undefined;

/** The node that all files of this worker share: every service, as a plain installation has it. */
export function sharedNode(): Promise<OwnNode> {
  if (!shared) process.on("message", exitAtTheEnd);
  return (shared ??= startOwnNode());
}

/** What Jest sends a worker for which no file is left, and which then has half a second to end. */
const endOfWork = 2;
function exitAtTheEnd(message: unknown): void {
  if (Array.isArray(message) && message[0] === endOfWork) setImmediate(() => process.exit());
}

/** Of use where Jest runs the files in its own process. */
export const stopSharedNode = async (): Promise<void> => (await shared)?.stop();
