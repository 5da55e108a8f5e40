import { describe, expect, test } from "@jest/globals";
import { inspect } from "../support/database.ts";
import { newEmail, node, password, refusal, register, useIdentity } from "../support/identity.ts";
import { forgetFailures } from "../../services/identity/sign-in/throttle.ts";

useIdentity();

let addresses = 0;
const newAddress = () => `198.51.100.${++addresses}`;
const attempt = (email: string, ip: string, guess = "wrong") =>
  node.call("identity.login", { email, password: guess, ip }).then(
    () => "signed in",
    (error: { type: string }) => error.type,
  );
async function attempts(count: number, email: () => string, ip: () => string): Promise<string[]> {
  const answers: string[] = [];
  for (let n = 0; n < count; n++) answers.push(await attempt(email(), ip()));
  return answers;
}
const inDatabase = (sql: string) => inspect(node.databases[0] ?? "", sql);

describe("failed sign-ins", () => {
  test.each([
    ["an account that exists", async () => (await register()).user.email],
    ["an email nobody has", () => Promise.resolve(newEmail())],
  ])("of %s are refused after ten from one address, whatever comes next", async (_case, emailOf) => {
    const email = await emailOf();
    const ip = newAddress();
    const answers = await attempts(
      11,
      () => email,
      () => ip,
    );
    expect(answers.slice(0, 10)).toEqual(Array(10).fill("INVALID_CREDENTIALS"));
    expect(answers[10]).toBe("TOO_MANY_ATTEMPTS");
    await expect(node.call("identity.login", { email, password, ip })).rejects.toMatchObject({
      code: 429,
      type: "TOO_MANY_ATTEMPTS",
      data: { retryAfterSeconds: expect.any(Number) },
    });
  });

  test("leave the owner at another address alone, and are forgotten after a quarter of an hour", async () => {
    const { email } = (await register()).user;
    const ip = newAddress();
    await attempts(
      11,
      () => email,
      () => ip,
    );
    expect(await attempt(email, newAddress(), password)).toBe("signed in");
    expect(await attempt(email, ip, password)).toBe("TOO_MANY_ATTEMPTS");
    await inDatabase("UPDATE control.sign_in_failures SET ends_at = now() - interval '1 ms'");
    expect(await attempt(email, ip, password)).toBe("signed in");
    const { database } = node.runtime;
    await database.transaction({ platform: database.control }, forgetFailures);
    expect(await inDatabase("SELECT FROM control.sign_in_failures")).toEqual([]);
  });

  test("of one account from everywhere are refused after 50, of one address at everybody's after 100", async () => {
    const { email } = (await register()).user;
    const ip = newAddress();
    await attempts(1, () => email, newAddress);
    await attempts(1, newEmail, () => ip);
    await inDatabase(
      "UPDATE control.sign_in_failures SET failures = CASE failures WHEN 1 THEN 49 ELSE 99 END",
    );
    expect(await attempt(email, newAddress())).toBe("INVALID_CREDENTIALS");
    expect(await attempt(email, newAddress(), password)).toBe("TOO_MANY_ATTEMPTS");
    await inDatabase("UPDATE control.sign_in_failures SET failures = 99");
    expect(await attempt(newEmail(), ip)).toBe("INVALID_CREDENTIALS");
    const other = (await register()).user.email;
    expect(await attempt(other, ip, password)).toBe("TOO_MANY_ATTEMPTS");
  });

  test("from everywhere do not shut out who has signed in from an address before, or from its /64", async () => {
    const { email } = (await register()).user;
    const [home, mobile] = [newAddress(), "2001:db8:1:2:aaaa::1"];
    expect(await attempt(email, home, password)).toBe("signed in");
    expect(await attempt(email, mobile, password)).toBe("signed in");
    await attempts(1, () => email, newAddress);
    await inDatabase("UPDATE control.sign_in_failures SET failures = 60");
    expect(await attempt(email, newAddress(), password)).toBe("TOO_MANY_ATTEMPTS");
    expect(await attempt(email, home, "wrong")).toBe("INVALID_CREDENTIALS");
    expect(await attempt(email, home, password)).toBe("signed in");
    expect(await attempt(email, "2001:db8:1:2:bbbb::2", password)).toBe("signed in");
    expect(await attempt(email, "2001:db8:1:3::1", password)).toBe("TOO_MANY_ATTEMPTS");
  });

  test("are no fewer for a guesser who has registered with the same email", async () => {
    const { user } = await register();
    const [guessers, home] = [newAddress(), newAddress()];
    await register({ email: user.email, password: "the guesser's own secret" });
    expect(await attempt(user.email, guessers, "the guesser's own secret")).toBe("signed in");
    expect(await attempt(user.email, home, password)).toBe("signed in");
    await attempts(1, () => user.email, newAddress);
    await inDatabase("UPDATE control.sign_in_failures SET failures = 60");
    expect(await attempt(user.email, guessers, "wrong")).toBe("TOO_MANY_ATTEMPTS");
    await inDatabase(`UPDATE control.users SET email_verified_at = now() WHERE id = '${user.id}'`);
    expect(await attempt(user.email, guessers, "wrong")).toBe("TOO_MANY_ATTEMPTS");
    expect(await attempt(user.email, home, password)).toBe("signed in");
  });

  test("at a known address are refused after ten there all the same", async () => {
    const { email } = (await register()).user;
    const home = newAddress();
    expect(await attempt(email, home, password)).toBe("signed in");
    const answers = await attempts(
      11,
      () => email,
      () => home,
    );
    expect(answers.at(-1)).toBe("TOO_MANY_ATTEMPTS");
    expect(await attempt(email, home, password)).toBe("TOO_MANY_ATTEMPTS");
  });

  test("sent at once learn no more than one after the other", async () => {
    const { email } = (await register()).user;
    const ip = newAddress();
    const answers = await Promise.all(Array.from({ length: 30 }, () => attempt(email, ip)));
    expect(answers.filter((answer) => answer === "INVALID_CREDENTIALS")).toHaveLength(10);
    expect(answers.filter((answer) => answer === "TOO_MANY_ATTEMPTS")).toHaveLength(20);
  });

  test("keep neither email nor address", async () => {
    await attempts(
      1,
      () => "typo@example.com",
      () => "203.0.113.77",
    );
    const rows = JSON.stringify(await inDatabase("SELECT * FROM control.sign_in_failures"));
    expect(rows).not.toMatch(/typo|203\.0\.113/);
  });
});

test("an unknown email costs as much as a wrong password", async () => {
  const { email } = (await register()).user;
  const spent = { known: 0, unknown: 0 };
  // processor time, of all threads: a busy machine does not stretch it as it does the answer's time
  const spend = async (kind: keyof typeof spent, address: string) => {
    const before = process.cpuUsage();
    await attempt(address, newAddress());
    const { user, system } = process.cpuUsage(before);
    spent[kind] += user + system;
  };
  for (let n = 0; n < 20; n++) {
    await spend("known", email);
    await spend("unknown", newEmail());
  }
  // without the comparison it would be less than a third
  expect(spent.unknown / spent.known).toBeGreaterThan(0.7);
  expect(spent.unknown / spent.known).toBeLessThan(1.4);
});

test("more passwords than can be compared are refused, not queued without end", async () => {
  const email = newEmail();
  const all = await Promise.allSettled(
    Array.from({ length: 130 }, () => node.call("identity.login", { email, password: "wrong" })),
  );
  const reasons = all.map((one) => (one as PromiseRejectedResult).reason as unknown);
  expect(reasons).toContainEqual(refusal(503, "SERVER_BUSY"));
  expect(reasons).toContainEqual(refusal(401, "INVALID_CREDENTIALS"));
});
