import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { createHash } from "node:crypto";
import { generateKeyPair, UnsecuredJWT, type CryptoKey, type JWTPayload } from "jose";
import { Browser } from "../support/browser.ts";
import { startFederation, type Federation } from "../support/federation.ts";
import { client } from "../support/oidc.ts";

let all: Federation;
let strangersKey: CryptoKey;

beforeAll(async () => {
  all = await startFederation();
  all.evil.metadata = { id_token_signing_alg_values_supported: ["RS256", "HS256", "none"] };
  const admin = await all.visitor.register("Corp");
  await admin.post("/users/invite", { name: "V", email: "victim@corp.test", role: "admin" });
  strangersKey = (await generateKeyPair("RS256")).privateKey;
});
afterAll(() => all.stop());

const person = { sub: "1", email: "victim@corp.test", email_verified: true };

/** Begins a sign-in; answers its parameters and how to come back from the provider. */
async function begin() {
  const browser = new Browser();
  const { url } = await browser.open(`${all.api}/auth/oauth/evil/start`, { until: all.evil.issuer });
  const sent = new URL(url).searchParams;
  const query = `code=1&state=${sent.get("state")}`;
  return { sent, comeBack: () => browser.open(`${all.api}/auth/oauth/evil/callback?${query}`) };
}
/** Signs in with this token. */
async function signInWith(mint: (nonce: string) => Promise<string> | string) {
  const { sent, comeBack } = await begin();
  all.evil.idToken = await mint(sent.get("nonce") ?? "");
  return comeBack();
}
const now = () => Math.floor(Date.now() / 1000);

test("the right token signs in, whose code is traded with the verifier of the challenge", async () => {
  const { sent, comeBack } = await begin();
  expect(Object.fromEntries(sent)).toMatchObject({
    response_type: "code",
    client_id: client.clientId,
    code_challenge_method: "S256",
    redirect_uri: `${all.api}/auth/oauth/evil/callback`,
  });
  all.evil.idToken = await all.evil.mint({ ...person, nonce: sent.get("nonce") });
  expect(await comeBack()).toMatchObject({ status: 200, body: { user: { email: person.email } } });
  const asked = all.evil.asked.at(-1);
  expect(asked?.get("grant_type")).toBe("authorization_code");
  const verifier = asked?.get("code_verifier") ?? "";
  expect(createHash("sha256").update(verifier).digest("base64url")).toBe(sent.get("code_challenge"));
});

const wrong: [string, (nonce: string) => JWTPayload][] = [
  ["for another client", (nonce) => ({ nonce, aud: "another" })],
  ["for several clients that names no bearer", (nonce) => ({ nonce, aud: [client.clientId, "another"] })],
  ["whose bearer is another client", (nonce) => ({ nonce, azp: "another" })],
  ["of another issuer", (nonce) => ({ nonce, iss: all.real.issuer })],
  ["that has ended", (nonce) => ({ nonce, iat: now() - 600, exp: now() - 300 })],
  ["that is not valid yet", (nonce) => ({ nonce, nbf: now() + 600 })],
  ["with another nonce", () => ({ nonce: "another" })],
  ["without a nonce", () => ({})],
  ["without a subject", (nonce) => ({ nonce, sub: undefined })],
  ["with an empty subject", (nonce) => ({ nonce, sub: "" })],
];
test.each(wrong)("a token %s is refused", async (_title, claims) => {
  const answer = await signInWith((nonce) => all.evil.mint({ ...person, ...claims(nonce) }));
  expect(answer).toMatchObject({ status: 403, body: { code: "SIGN_IN_UNPROVEN" } });
});

test.each<[string, (nonce: string) => Promise<string> | string]>([
  ["signed by another key", (nonce) => all.evil.mint({ ...person, nonce }, { key: strangersKey })],
  [
    "signed with the client's secret",
    (nonce) =>
      all.evil.mint(
        { ...person, nonce },
        { key: new TextEncoder().encode(client.clientSecret), alg: "HS256" },
      ),
  ],
  [
    "without a signature",
    (nonce) =>
      new UnsecuredJWT({ ...person, nonce, iss: all.evil.issuer, aud: client.clientId, exp: now() + 60 })
        .setIssuedAt()
        .encode(),
  ],
  [
    "whose claims were changed after it was signed",
    async (nonce) => {
      const [head, , signature] = (await all.evil.mint({ ...person, nonce })).split(".");
      const claims = {
        ...person,
        nonce,
        iss: all.evil.issuer,
        aud: client.clientId,
        iat: now(),
        exp: now() + 99,
      };
      return [head, Buffer.from(JSON.stringify(claims)).toString("base64url"), signature].join(".");
    },
  ],
  ["that is none", () => "rubbish"],
  ["that is missing", () => ""],
])("a token %s is refused, although the issuer calls that algorithm its own", async (_title, mint) => {
  expect(await signInWith(mint)).toMatchObject({ status: 403, body: { code: "SIGN_IN_UNPROVEN" } });
});

test("an issuer that cannot be asked is 503, and is asked again by the next who comes", async () => {
  const other = await startFederation();
  try {
    other.evil.discovery = 500;
    const start = () => other.visitor.get("/auth/oauth/evil/start");
    const unavailable = { status: 503, body: { code: "SIGN_IN_PROVIDER_UNAVAILABLE" } };
    expect(await start()).toMatchObject(unavailable);
    other.evil.discovery = 404;
    expect(await start()).toMatchObject(unavailable);
    other.evil.discovery = 200;
    other.evil.metadata = { issuer: other.real.issuer };
    expect(await start()).toMatchObject(unavailable);
    other.evil.metadata = {};
    const { url } = await new Browser().open(`${other.api}/auth/oauth/evil/start`, {
      until: other.evil.issuer,
    });
    expect(url).toContain("/authorize?");
  } finally {
    await other.stop();
  }
});

test("an issuer that leads into the network here is not followed", async () => {
  const other = await startFederation();
  try {
    // a name within, which OUTBOUND_ALLOW does not list
    other.evil.metadata = { token_endpoint: "http://localhost:1/token" };
    const browser = new Browser();
    const { url } = await browser.open(`${other.api}/auth/oauth/evil/start`, { until: other.evil.issuer });
    const state = new URL(url).searchParams.get("state");
    expect(await browser.open(`${other.api}/auth/oauth/evil/callback?code=1&state=${state}`)).toMatchObject({
      status: 503,
      body: { code: "SIGN_IN_PROVIDER_UNAVAILABLE" },
    });
  } finally {
    await other.stop();
  }
});
