import { expect } from "@jest/globals";
import { decodeJwt } from "jose";
import type { Role } from "../../mixins/access/actor.ts";
import type { Meta } from "../../mixins/contract/meta.ts";
import type { SessionRevoked } from "../../mixins/access/revocations.ts";
import type { SignedIn } from "../../services/identity/identity.contract.ts";
import { startTestNode, type TestNode } from "./node.ts";

export const password = "a long enough secret";
/** The node under test; there after `startIdentity`. */
export let node: TestNode;
/** Sessions whose end was broadcast, in order. */
export const ended: SessionRevoked[] = [];

/** Starts a node with the identity service, and listens for ended sessions. */
export async function startIdentity(): Promise<void> {
  node = await startTestNode({ SERVICES: "identity" });
  node.broker.createService({
    name: "listener",
    events: { "session.revoked": (ctx: { params: SessionRevoked }) => void ended.push(ctx.params) },
  });
}

let count = 0;
export const newEmail = () => `user${++count}@example.com`;

/** An organization of its own, with its signed-in admin. */
export const register = (
  overrides: { email?: string; password?: string; name?: string; organizationName?: string } = {},
) =>
  node.call("identity.register", {
    organizationName: "Acme",
    name: "Asha",
    email: newEmail(),
    password,
    ...overrides,
  });
export const login = (email: string) => node.call("identity.login", { email, password });

/** What the gateway would send along for the bearer of this access token. */
export function metaOf({ accessToken }: SignedIn): Meta {
  const { sub, org, sid, role } = decodeJwt<{ org: string; sid: string; role: string }>(accessToken);
  return { userId: sub ?? "", organizationId: org, sessionId: sid, role };
}
export const sessionOf = (signedIn: SignedIn): string => metaOf(signedIn).sessionId ?? "";

/** A colleague of the admin, signed in. */
export async function hire(admin: SignedIn, role: Role): Promise<SignedIn> {
  const email = newEmail();
  await node.call("identity.createUser", { name: "Ravi", email, role, password }, metaOf(admin));
  return login(email);
}
export const refusal = (code: number, type: string) => expect.objectContaining({ code, type });
export const hasEnded = (signedIn: SignedIn) =>
  ended.some(({ sessionId }) => sessionId === sessionOf(signedIn));
