import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import type { Meta } from "../../mixins/contract/meta.ts";
import type { ExtraService } from "../../services/node.ts";
import type { ActionName, Actions } from "../../services/contracts.ts";
import type { ParamsIn, ResultOf } from "../../mixins/contract/contract.ts";
import type * as Nodes from "./nodes.ts";

export type { ExtraService, Node } from "../../services/node.ts";

/** Put here by test/support/nodes-environment.mjs. */
declare global {
  var nodes: typeof Nodes | undefined;
}
/** Where modules are to be the node's own, `@jest-environment ./test/support/environment.mjs` at the head of the file starts it among them. */
const nodes = globalThis.nodes ?? (await import("./nodes.ts"));
export const { startNode, testEnv } = nodes;

export interface TestNode extends Nodes.OwnNode {
  /** A typed call with this meta, as an internal caller makes it. */
  call<N extends ActionName>(
    name: N,
    params: ParamsIn<Actions[N]>,
    meta?: Meta,
  ): Promise<ResultOf<Actions[N]>>;
}

const callable = (node: Nodes.OwnNode): TestNode => ({
  ...node,
  call: (name, params, meta = {}) => node.broker.call(name, params as never, { meta }) as never,
});

/** Starts a node with two databases of its own. Stop it with `stop()`, which drops them too. */
export const startTestNode = async (
  settings: Record<string, string> = {},
  extras: readonly ExtraService[] = [],
): Promise<TestNode> => callable(await nodes.startOwnNode(settings, extras));

/**
 * A running node with every service, which other test files use before and after: what a file does it does in
 * organizations of its own, and leaves the node as it was. It is never stopped.
 */
export const shareNode = async (): Promise<TestNode> => callable(await nodes.sharedNode());

/** Where the gateway of a test node listens. */
export function originOf(node: TestNode): string {
  const gateway = node.broker.getLocalService("gateway") as unknown as { server: Server };
  return `http://127.0.0.1:${(gateway.server.address() as AddressInfo).port}`;
}
