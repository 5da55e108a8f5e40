import { expect, test } from "@jest/globals";
import { Secret, TOTP } from "otpauth";
import { Client } from "../support/client.ts";
import { createDatabase, dropDatabase } from "../support/database.ts";
import { startProcess } from "../support/process.ts";

const password = "correct-horse-battery";
const keep = <T>(value: unknown): T => value as T;

test("no secret stands in what a process writes, whatever it is made to do, also when it writes everything", async () => {
  const url = await createDatabase();
  const node = await startProcess("talker", {
    DATABASE_URL: url,
    DATA_DIR: "/nonexistent",
    LOG_LEVEL: "trace",
    REQUEST_LOG: "all",
    DEV_OUTBOX: "true",
  });
  const secrets: Record<string, string> = {
    password,
    "master key": Buffer.alloc(32, 7).toString("base64"),
    "database password": new URL(url).password,
  };
  try {
    const admin = await new Client(node.origin).register("Talkers");
    secrets["access token"] = admin.token as string;
    secrets["refresh token"] = admin.refreshToken as string;
    const refreshed = await admin.post("/auth/refresh", { refreshToken: admin.refreshToken });
    secrets["second refresh token"] = keep<{ refreshToken: string }>(refreshed.body).refreshToken;
    await admin.post("/auth/login", { email: "nobody@example.com", password: "another-wrong-secret" });
    secrets["wrong password"] = "another-wrong-secret";
    const made = await admin.post("/api-keys", { name: "k", scopes: ["leads:read"] });
    secrets["API key"] = keep<{ key: string }>(made.body).key;
    await new Client(node.origin, undefined, secrets["API key"]).get("/leads");
    await admin.get("/leads?access_token=a-secret-in-the-query");
    secrets.query = "a-secret-in-the-query";
    const enrolled = await admin.post("/auth/mfa/totp/enroll", {});
    secrets["TOTP secret"] = keep<{ secret: string }>(enrolled.body).secret;
    const code = new TOTP({ secret: Secret.fromBase32(secrets["TOTP secret"]) }).generate();
    const { body } = await admin.post("/auth/mfa/totp/verify", { totp: code });
    for (const recovery of keep<{ recoveryCodes: string[] }>(body).recoveryCodes)
      secrets[`recovery code ${recovery}`] = recovery;
    await admin.post("/users/invite", { name: "G", email: "guest@example.com", role: "viewer" });
    await admin.post("/auth/password/forgot", { email: "guest@example.com" });
    await admin.post("/leads", "{ broken json with a-secret-in-a-body");
    secrets.body = "a-secret-in-a-body";
    await admin.post("/leads", { lastName: 7, password: "a-secret-in-a-field" });
    secrets.field = "a-secret-in-a-field";
    await admin.get("/leads", { authorization: "Bearer a.forged.token-value" });
    secrets["forged token"] = "a.forged.token-value";
    const outbox = await new Client(node.origin).get(`${node.origin}/dev/outbox`);
    for (const [, token = ""] of JSON.stringify(outbox.body).matchAll(/token=([\w-]+)/g))
      secrets[`link ${token}`] = token;
  } finally {
    await node.stop();
    await dropDatabase(url);
  }
  const output = node.output();
  expect(output).toContain("Sangam is running");
  expect(output.length).toBeGreaterThan(10_000);
  expect(Object.keys(secrets).length).toBeGreaterThan(12);
  for (const [name, secret] of Object.entries(secrets)) {
    expect({ name, isLong: secret.length > 6 }).toEqual({ name, isLong: true });
    expect({ name, isThere: output.includes(secret) }).toEqual({ name, isThere: false });
  }
});
