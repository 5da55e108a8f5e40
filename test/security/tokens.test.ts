import { beforeAll, describe, expect, test } from "@jest/globals";
import { createHmac, generateKeyPairSync } from "node:crypto";
import { SignJWT, UnsecuredJWT, decodeJwt, decodeProtectedHeader, exportJWK, type JWK } from "jose";
import { io } from "socket.io-client";
import { Client } from "../support/client.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let admin: Client;
let publicKey: JWK;
beforeAll(async () => {
  node = await shareNode();
  admin = await new Client(originOf(node)).register("Tokens");
  const { keys } = await node.call("identity.verificationKeys", {});
  publicKey = keys[0] as JWK;
});

const claims = () => decodeJwt(admin.token as string);
const keyId = () => decodeProtectedHeader(admin.token as string).kid as string;
const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
const stranger = generateKeyPairSync("ed25519");
const sign = (header: object = {}, overrides: object = {}) =>
  new SignJWT({ ...claims(), ...overrides })
    .setProtectedHeader({ alg: "EdDSA", kid: keyId(), ...header })
    .sign(stranger.privateKey);
/** The admin's own token with one part exchanged, its signature as it was. */
const tampered = (index: 0 | 1, change: (part: Record<string, unknown>) => object) => {
  const parts = (admin.token as string).split(".");
  parts[index] = encode(
    change(JSON.parse(Buffer.from(parts[index] as string, "base64url").toString()) as never),
  );
  return parts.join(".");
};
const hmac = (alg: "HS256" | "HS384" | "HS512", secret: string | Buffer) => {
  const text = `${encode({ alg, kid: keyId() })}.${encode(claims())}`;
  return `${text}.${createHmac(alg.replace("HS", "sha"), secret).update(text).digest("base64url")}`;
};

const forgeries: [string, () => string | Promise<string>][] = [
  ["is signed by a stranger under our key's id", () => sign()],
  ["names a key nobody knows", () => sign({ kid: "unknown" })],
  ["names no key", () => sign({ kid: undefined })],
  ["names a key by a path", () => sign({ kid: "../../etc/passwd" })],
  ["names a key by SQL", () => sign({ kid: "' OR 1=1 --" })],
  ["brings its key along", async () => sign({ jwk: await exportJWK(stranger.publicKey) })],
  ["says where its key is", () => sign({ jku: "http://127.0.0.1:1/jwks" })],
  ["brings a certificate along", () => sign({ x5c: ["MIIB"] })],
  ["is unsigned", () => new UnsecuredJWT(claims()).encode()],
  [
    "is unsigned and says so in capitals",
    () => `${encode({ alg: "NONE", kid: keyId() })}.${encode(claims())}.`,
  ],
  ["lost its signature", () => (admin.token as string).split(".").slice(0, 2).join(".") + "."],
  ["has an empty signature part too many", () => `${admin.token}.`],
  ["has another role", () => tampered(1, (part) => ({ ...part, role: "system" }))],
  ["has another organization", () => tampered(1, (part) => ({ ...part, org: node.broker.generateUid() }))],
  ["has another user", () => tampered(1, (part) => ({ ...part, sub: node.broker.generateUid() }))],
  ["lives longer than it was given", () => tampered(1, (part) => ({ ...part, exp: 9_999_999_999 }))],
  ["has another algorithm in its header", () => tampered(0, (part) => ({ ...part, alg: "ES256" }))],
  ["has a critical extension", () => tampered(0, (part) => ({ ...part, crit: ["b64"], b64: false }))],
  ["takes the public key for an HMAC secret", () => hmac("HS256", JSON.stringify(publicKey))],
  [
    "takes the key's x for an HMAC secret",
    () => hmac("HS256", Buffer.from(publicKey.x as string, "base64url")),
  ],
  ["takes the key's id for an HMAC-SHA384 secret", () => hmac("HS384", keyId())],
  ["takes an empty HMAC-SHA512 secret", () => hmac("HS512", "")],
  ["is no JWT", () => "abc"],
  ["is made of dots", () => "..."],
  ["is very long", () => "a".repeat(6000)],
  ["is a refresh token", () => admin.refreshToken as string],
  ["has a NUL", () => `${(admin.token as string).slice(0, 20)}%00`],
];

describe("an access token that", () => {
  test.each(forgeries)("%s opens no route", async (_what, forge) => {
    const answer = await new Client(admin.origin).get("/auth/me", {
      authorization: `Bearer ${await forge()}`,
    });
    expect(answer).toMatchObject({
      status: 401,
      contentType: "application/problem+json; charset=utf-8",
    });
  });
  test.each(forgeries)("%s opens no socket", async (_what, forge) => {
    const socket = io(admin.origin, {
      auth: { token: await forge() },
      transports: ["websocket"],
      reconnection: false,
    });
    const outcome = await new Promise<string>((done) => {
      socket.on("connect", () => done("connected"));
      socket.on("connect_error", (error) => done(error.message));
    });
    socket.disconnect();
    expect(outcome).not.toBe("connected");
  });
  test("is the admin's own opens both", async () => {
    expect((await admin.get("/auth/me")).status).toBe(200);
    const socket = io(admin.origin, {
      auth: { token: admin.token },
      transports: ["websocket"],
      reconnection: false,
    });
    await new Promise((done) => socket.on("connect", () => done(undefined)));
    socket.disconnect();
  });
});

describe("the header", () => {
  const wrong = ["", "Bearer", "Bearer ", "Basic YTpi", "Token x", "bearer", "Bearer a b"];
  test.each(wrong)("'%s' signs nobody in", async (authorization) => {
    expect((await new Client(admin.origin).get("/auth/me", { authorization })).status).toBe(401);
  });
  test("does not let a query parameter or a cookie stand for it", async () => {
    const visitor = new Client(admin.origin);
    for (const path of [`/auth/me?access_token=${admin.token}`, `/auth/me?token=${admin.token}`])
      expect((await visitor.get(path)).status).toBe(401);
    expect((await visitor.get("/auth/me", { cookie: `token=${admin.token}` })).status).toBe(401);
  });
});
