import { afterAll, beforeAll } from "@jest/globals";
import { Browser, type Page } from "./browser.ts";
import { Client } from "./client.ts";
import { proveEmail } from "./database.ts";
import { frontEnd, startFederation, type Federation } from "./federation.ts";
import type { Account } from "./oidc.ts";

/** The providers, and a node that knows them; there once `useOauth` has run. */
export let all: Federation;
/** Of an organization. */
export let admin: Client;

/** Starts and stops them with the tests of a file. */
export function useOauth(): void {
  beforeAll(async () => {
    all = await startFederation();
    admin = await all.visitor.register("Corp");
    // others may not invite as many as these tests do
    await proveEmail(all.node.databases[0], admin.userId);
  });
  afterAll(() => all.stop());
}

let count = 0;
/** A person the provider knows, with an address it calls verified. */
export const newAccount = (): Account & { email: string } => {
  const sub = `person-${++count}`;
  return { sub, email: `${sub}@corp.test`, email_verified: true };
};
export const start = (query = "") => `${all.api}/auth/oauth/real/start${query}`;
export const callback = () => `${all.api}/auth/oauth/real/callback`;
/** Signs in at the real provider as this account, in a new browser unless one is given. */
export function signIn(account: Account, browser = new Browser(), query = ""): Promise<Page> {
  all.real.account = account;
  return browser.open(start(query), query === "" ? {} : { until: frontEnd });
}
export const invite = (email: string) =>
  admin.post("/users/invite", { name: "Invited", email, role: "viewer" });
/** The user whom a sign-in answered. */
export const clientOf = ({ body }: Page) => new Client(new URL(all.api).origin, body as never);
/** A user who has linked the provider. */
export async function member(): Promise<{ account: Account & { email: string }; user: Client }> {
  const account = newAccount();
  await invite(account.email);
  return { account, user: clientOf(await signIn(account)) };
}
