import { randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { decodeProtectedHeader } from "jose";
import { TOTP } from "otpauth";
import { AccessTokens, type Claims } from "../../mixins/access/access-token.ts";
import { SealedBox } from "../../mixins/encryption/sealed-box.ts";
import type { SignedIn } from "../../services/identity/identity.contract.ts";
import { TokenIssuer } from "../../services/identity/sessions/token-issuer.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { metaOf, password } from "../support/identity.ts";
import { type Node, startNode, testEnv } from "../support/node.ts";

const newMasterKey = () => randomBytes(32).toString("base64");
const codeOf = (secret: string, steps = 0): string =>
  new TOTP({ secret }).generate({ timestamp: Date.now() + steps * 30_000 });

let databases: string[];
const control = () => databases[0] as string;
const nodes: Node[] = [];
beforeAll(async () => {
  databases = [await createDatabase()];
});
afterAll(async () => {
  for (const node of nodes) await node.stop();
  for (const url of databases) await dropDatabase(url);
});

/** A process of this installation that was started with these master keys. */
async function start(...masterKeys: string[]): Promise<Node> {
  const settings = { MASTER_KEY: masterKeys.join(","), SERVICES: "identity,events" };
  const node = await startNode(testEnv(databases, settings));
  nodes.push(node);
  return node;
}
const call = <T>(node: Node, name: string, params: object, meta = {}) =>
  node.broker.call<T, object>(name, params, { meta });
const runJob = (node: Node, name: string) =>
  call(node, name, { scheduledFor: new Date().toISOString() }, { role: "system" });
const tendKeys = (node: Node) => runJob(node, "identity.tendKeys");
const register = (node: Node, email: string) =>
  call<SignedIn>(node, "identity.register", { organizationName: "Acme", name: "Asha", email, password });
/** As a gateway that has seen no token yet verifies one. */
const verify = (node: Node, { accessToken }: Pick<SignedIn, "accessToken">) =>
  new AccessTokens(() => call(node, "identity.verificationKeys", {})).verify(accessToken);
const keyOf = ({ accessToken }: Pick<SignedIn, "accessToken">) => decodeProtectedHeader(accessToken).kid;

test("once everything is under a new MASTER_KEY the old one can be dropped: second factors, tokens and data go on", async () => {
  const [old, fresh] = [newMasterKey(), newMasterKey()];
  const before = await start(old);
  const user = await register(before, "rotation@example.com");
  const organizationId = user.organization.id;
  const enrolled = await call<{ secret: string }>(before, "identity.enrollTotp", {}, metaOf(user));
  await call(before, "identity.verifyTotp", { totp: codeOf(enrolled.secret, -1) }, metaOf(user));
  // as seeds were sealed before organizations had keys
  const place = `control.totp_factors|sealed_secret|${user.user.id}`;
  await inspect(
    control(),
    "UPDATE control.totp_factors SET sealed_secret = $2, is_under_organization_key = false WHERE user_id = $1",
    [user.user.id, new SealedBox([old]).seal(enrolled.secret, place)],
  );
  const context = { table: "leads", column: "secret", row: user.user.id };
  const sealed = (await before.runtime.organizationKeys.of(organizationId)).seal(context, "of a lead");

  const during = await start(fresh, old);
  await expect(
    call(during, "identity.login", { email: user.user.email, password, totp: "000000" }),
  ).rejects.toMatchObject({ type: "INVALID_CREDENTIALS" });
  await Promise.all([tendKeys(during), tendKeys(during), runJob(during, "events.rewrapKeys")]);
  await tendKeys(during);

  const after = await start(fresh);
  const login = { email: user.user.email, password, totp: codeOf(enrolled.secret) };
  const again = await call<SignedIn>(after, "identity.login", login);
  expect(keyOf(again)).toBe(keyOf(user));
  for (const token of [user, again])
    expect(await verify(after, token)).toMatchObject({ userId: user.user.id, organizationId });
  const cipher = await after.runtime.organizationKeys.of(organizationId);
  expect(cipher.open(context, sealed)).toBe("of a lead");
  await call(before, "identity.refresh", { refreshToken: again.refreshToken });
});

describe("keys of access tokens", () => {
  const keys = () =>
    inspect<{ kid: string }>(control(), "SELECT kid FROM control.signing_keys ORDER BY created_at DESC");
  const age = (what: string, days: number) =>
    inspect(control(), `UPDATE control.signing_keys SET ${what} = ${what} - $1 * interval '1 day'`, [days]);

  test("are renewed after their days: published before they sign, and kept until no token needs them", async () => {
    await inspect(control(), "DELETE FROM control.signing_keys");
    const node = await start(newMasterKey());
    const user = await register(node, "keys@example.com");
    const issuer = new TokenIssuer(node.runtime);
    await issuer.load();
    const issue = async () => ({
      accessToken: await issuer.issue({ ...metaOf(user), role: "admin" } as Claims),
    });
    const first = await issue();
    await tendKeys(node);
    expect(await keys()).toEqual([{ kid: keyOf(first) }]);

    await age("created_at", 30);
    await Promise.all([tendKeys(node), tendKeys(node)]);
    const [next] = await keys();
    const { keys: published } = await call<{ keys: { kid: string }[] }>(
      node,
      "identity.verificationKeys",
      {},
    );
    expect(published.map(({ kid }) => kid)).toEqual([next?.kid, keyOf(first)]);
    await issuer.load();
    expect(keyOf(await issue())).toBe(keyOf(first));

    await inspect(control(), "UPDATE control.signing_keys SET signs_from = now() WHERE kid = $1", [
      next?.kid,
    ]);
    await issuer.load();
    const second = await issue();
    expect(keyOf(second)).toBe(next?.kid);
    await tendKeys(node);
    for (const token of [first, second]) await verify(node, token);

    await age("signs_from", 1.01);
    await tendKeys(node);
    expect(await keys()).toEqual([next]);
    await verify(node, second);
    await expect(verify(node, first)).rejects.toMatchObject({ type: "TOKEN_INVALID" });
  });
});
