import { createHash } from "node:crypto";
import type { ActorAddress } from "./actor-contract.ts";

/** An address as one string, the same on every node. */
export const addressKey = ({ organizationId, kind, id }: ActorAddress): string =>
  `${organizationId}/${kind}/${id}`;

/**
 * The node an actor belongs on when nobody runs it yet: the one with the highest hash of both names (rendezvous
 * hashing, Thaler and Ravishankar 1998). All who see the same nodes choose the same; a node that joins or leaves moves
 * only the actors it gets or had, one n-th of them.
 */
export function placeOf(key: string, nodes: readonly string[]): string | undefined {
  let best: string | undefined;
  let bestWeight = "";
  for (const node of nodes) {
    const weight = createHash("sha1").update(node).update("\0").update(key).digest("hex");
    if (weight > bestWeight) [best, bestWeight] = [node, weight];
  }
  return best;
}
