import { afterAll, beforeAll, expect } from "@jest/globals";
import { decodeJwt } from "jose";
import type { Service } from "moleculer";
import type { Role } from "../../mixins/access/principal.ts";
import type { Meta } from "../../mixins/contract/meta.ts";
import type { SessionRevoked } from "../../mixins/access/revocations.ts";
import type { SignedIn } from "../../services/identity/identity.contract.ts";
import { shareNode, type TestNode } from "./node.ts";

export const password = "a long enough secret";
/** The node under test; there within the tests of a file with `useIdentity`. */
export let node: TestNode;
/** Sessions whose end was broadcast, in order. */
export const ended: SessionRevoked[] = [];

/** For the whole file: the shared node, and what it says of ended sessions. */
export function useIdentity(): void {
  let listener: Service;
  beforeAll(async () => {
    node = await shareNode();
    listener = node.broker.createService({
      name: "listener",
      events: { "session.revoked": (ctx: { params: SessionRevoked }) => void ended.push(ctx.params) },
    });
  });
  afterAll(() => node.broker.destroyService(listener));
}

const file = Math.random().toString(36).slice(2, 8);
let count = 0;
export const newEmail = () => `user${++count}-${file}@example.com`;

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
