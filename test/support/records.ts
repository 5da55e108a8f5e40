import { expect } from "@jest/globals";
import { kinds } from "../../entities/kinds.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import { contracts } from "../../services/contracts.ts";
import { Client, type Answer } from "./client.ts";
import { originOf, shareNode, type TestNode } from "./node.ts";

/** A record as the API shows it. */
export type Body = Record<string, unknown> & { id: string; version: number };
export const bodyOf = (answer: Answer) => answer.body as Body;
export const listOf = (answer: Answer) => (answer.body as { data: Body[] }).data;

/** The kinds that offer an action, such as `merge`, by what they are called in paths. */
export const kindsThat = (action: string): [plural: string, kind: AnyKind][] =>
  [...kinds.values()].flatMap((kind) => {
    const contract = contracts.find(({ name }) => name === kind.plural);
    return contract && action in contract.actions ? [[kind.plural, kind] as [string, AnyKind]] : [];
  });

let count = 0;
/** A text that no other test has. */
export const unique = () => `x${++count}-${Math.random().toString(36).slice(2, 8)}`;

/** An organization of its own on the shared node, with a sales rep, and another one beside it. */
export async function recordWorld(
  name: string,
): Promise<{ node: TestNode; admin: Client; rep: Client; stranger: Client }> {
  const node = await shareNode();
  const visitor = new Client(originOf(node));
  const admin = await visitor.register(name);
  return {
    node,
    admin,
    rep: await admin.addUser("sales_rep"),
    stranger: await visitor.register("Strangers"),
  };
}

/** Makes a record. */
export async function made(client: Client, path: string, body: object): Promise<Body> {
  const answer = await client.post(path, body);
  expect(answer).toMatchObject({ status: 201 });
  return bodyOf(answer);
}
