import { beforeAll, describe, expect, test } from "@jest/globals";
import { SignJWT, UnsecuredJWT, exportJWK, generateKeyPair, type CryptoKey, type JWK } from "jose";
import { AccessTokens, accessToken } from "../../mixins/access/access-token.ts";

const session = { org: "organization-1", sid: "session-1", role: "manager" };
let time = Date.UTC(2026, 0, 1);
const nowSeconds = () => Math.floor(time / 1000);

let signing: { privateKey: CryptoKey; jwk: JWK };
let foreign: { privateKey: CryptoKey; jwk: JWK };
beforeAll(async () => {
  [signing, foreign] = await Promise.all([keyPair("key-1"), keyPair("key-1")]);
});

async function keyPair(kid: string) {
  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  return { privateKey, jwk: { ...(await exportJWK(publicKey)), kid } };
}
const sign = (
  overrides: { key?: CryptoKey; kid?: string; issuer?: string; claims?: object; alg?: string } = {},
) =>
  new SignJWT({ ...session, ...overrides.claims })
    .setProtectedHeader({ alg: overrides.alg ?? "EdDSA", kid: overrides.kid ?? "key-1" })
    .setSubject("user-1")
    .setIssuer(overrides.issuer ?? "sangam")
    .setExpirationTime(nowSeconds() + accessToken.lifetimeSeconds)
    .sign(overrides.key ?? signing.privateKey);

/** A verifier of the keys given, on the test's clock, which counts how often it asks for them. */
function verifier(keys: () => JWK[] = () => [signing.jwk]) {
  let loads = 0;
  const tokens = new AccessTokens(
    () => {
      loads++;
      return Promise.resolve({ keys: keys() });
    },
    () => time,
  );
  return { tokens, loads: () => loads };
}
const refusal = (type: string) => expect.objectContaining({ code: 401, type });

describe("an access token", () => {
  test("tells who its bearer is", async () => {
    expect(await verifier().tokens.verify(await sign())).toEqual({
      userId: "user-1",
      organizationId: "organization-1",
      sessionId: "session-1",
      role: "manager",
      expiresAt: nowSeconds() + 600,
    });
  });

  test("works for ten minutes and not a second longer, also when it was seen before", async () => {
    const { tokens } = verifier();
    const [seen, unseen] = [await sign(), await sign({ claims: { sid: "session-2" } })];
    await tokens.verify(seen);
    time += 599_000;
    await tokens.verify(seen);
    time += 1000;
    await expect(tokens.verify(seen)).rejects.toEqual(refusal("TOKEN_EXPIRED"));
    await expect(tokens.verify(unseen)).rejects.toEqual(refusal("TOKEN_EXPIRED"));
  });
});

describe("a forged token is refused", () => {
  const base64 = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const forgeries: [string, () => Promise<string> | string][] = [
    ["signed with another key under the same id", () => sign({ key: foreign.privateKey })],
    [
      "without a signature (alg none)",
      () => new UnsecuredJWT(session).setIssuer("sangam").setExpirationTime("10m").encode(),
    ],
    [
      "alg none under the id of a real key",
      () =>
        `${base64({ alg: "none", kid: "key-1" })}.${base64({ ...session, sub: "u", iss: "sangam", exp: nowSeconds() + 600 })}.`,
    ],
    [
      "HS256 with the public key as secret",
      () =>
        new SignJWT(session)
          .setProtectedHeader({ alg: "HS256", kid: "key-1" })
          .setSubject("user-1")
          .setIssuer("sangam")
          .setExpirationTime(nowSeconds() + 600)
          .sign(Buffer.from(signing.jwk.x as string, "base64url")),
    ],
    ["of another issuer", () => sign({ issuer: "another" })],
    ["naming a key nobody has", () => sign({ kid: "key-2" })],
    [
      "with another payload under a true signature",
      async () => {
        const [header, payload, signature] = (await sign()).split(".");
        const claims = JSON.parse(Buffer.from(payload as string, "base64url").toString()) as object;
        return `${header}.${base64({ ...claims, role: "admin" })}.${signature}`;
      },
    ],
    [
      "without an end",
      () =>
        new SignJWT({ ...session })
          .setProtectedHeader({ alg: "EdDSA", kid: "key-1" })
          .setSubject("u")
          .setIssuer("sangam")
          .sign(signing.privateKey),
    ],
    ["without a session", () => sign({ claims: { sid: undefined } })],
    ["that is no token", () => "garbage"],
    ["that is nothing", () => ""],
  ];
  test.each(forgeries)("%s", async (_case, forge) => {
    await expect(verifier().tokens.verify(await forge())).rejects.toEqual(refusal("TOKEN_INVALID"));
  });
});

describe("the keys", () => {
  test("are asked for once by many tokens that arrive together", async () => {
    const { tokens, loads } = verifier();
    await Promise.all(
      Array.from({ length: 20 }, async (_, n) => tokens.verify(await sign({ claims: { sid: `${n}` } }))),
    );
    expect(loads()).toBe(1);
  });

  test("are asked for again for a new key, but at most once in ten seconds", async () => {
    const next = await keyPair("key-2");
    let keys = [signing.jwk];
    const { tokens, loads } = verifier(() => keys);
    await tokens.verify(await sign());
    keys = [next.jwk, signing.jwk];
    const token = await sign({ key: next.privateKey, kid: "key-2" });
    time += 9_999;
    await expect(tokens.verify(token)).rejects.toEqual(refusal("TOKEN_INVALID"));
    expect(loads()).toBe(1);
    time += 1;
    expect(await tokens.verify(token)).toMatchObject({ userId: "user-1" });
    expect(loads()).toBe(2);
  });

  test("that cannot be had make a 503, and are asked for again by the next token", async () => {
    let isUp = false;
    const tokens = new AccessTokens(
      () =>
        isUp ? Promise.resolve({ keys: [signing.jwk] }) : Promise.reject(new Error("no identity service")),
      () => time,
    );
    const token = await sign();
    await expect(tokens.verify(token)).rejects.toEqual(expect.objectContaining({ code: 503 }));
    isUp = true;
    expect(await tokens.verify(token)).toMatchObject({ userId: "user-1" });
  });
});

test("who asked for the keys before there was one asks again at once", async () => {
  let keys: JWK[] = [];
  const { tokens } = verifier(() => keys);
  const token = await sign();
  await expect(tokens.verify(token)).rejects.toMatchObject({ type: "TOKEN_INVALID" });
  keys = [signing.jwk];
  expect(await tokens.verify(token)).toMatchObject({ userId: "user-1" });
});
