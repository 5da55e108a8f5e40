import { describe, expect, test } from "@jest/globals";
import { TOTP } from "otpauth";
import type { SignedIn } from "../../services/identity/identity.contract.ts";
import { z } from "zod";
import { contracts } from "../../services/contracts.ts";
import { secondFactorCode } from "../../services/identity/second-factor/second-factor.contract.ts";
import { inspect } from "../support/database.ts";
import { hasEnded, metaOf, node, password, refusal, register, useIdentity } from "../support/identity.ts";

useIdentity();

/** The code an authenticator app shows, `steps` of 30 seconds from now. */
const codeOf = (secret: string, steps = 0): string =>
  new TOTP({ secret }).generate({ timestamp: Date.now() + steps * 30_000 });
const wrongCode = (secret: string): string => {
  const near = [-2, -1, 0, 1, 2].map((steps) => codeOf(secret, steps));
  return (
    ["000000", "111111", "222222", "333333", "444444", "555555"].find((code) => !near.includes(code)) ?? ""
  );
};

interface Enrolled {
  user: SignedIn;
  secret: string;
  recoveryCodes: string[];
}
/** A user with a second factor; its code of the step before this is used up. */
async function enrol(): Promise<Enrolled> {
  const user = await register();
  const { secret } = await node.call("identity.enrollTotp", {}, metaOf(user));
  const code = codeOf(secret ?? "", -1);
  const { recoveryCodes } = await node.call("identity.verifyTotp", { totp: code }, metaOf(user));
  return { user, secret: secret ?? "", recoveryCodes };
}
const login = ({ user }: Enrolled, totp?: string) =>
  node.call("identity.login", { email: user.user.email, password, ...(totp === undefined ? {} : { totp }) });
const inDatabase = (sql: string, values: unknown[] = []) => inspect(node.databases[0] ?? "", sql, values);
const countOf = (outcomes: PromiseSettledResult<unknown>[], status: string) =>
  outcomes.filter((outcome) => outcome.status === status).length;

describe("a second factor", () => {
  test("is asked for once it is verified, and not before", async () => {
    const user = await register();
    const { secret, uri } = await node.call("identity.enrollTotp", {}, metaOf(user));
    expect(uri).toMatch(new RegExp(`^otpauth://totp/Sangam:.*secret=${secret}`));
    const login = { email: user.user.email, password };
    await node.call("identity.login", login);
    const wrong = node.call("identity.verifyTotp", { totp: wrongCode(secret ?? "") }, metaOf(user));
    await expect(wrong).rejects.toMatchObject({ code: 422, data: { errors: [{ code: "wrong_code" }] } });
    expect(await node.call("identity.me", {}, metaOf(user))).toMatchObject({ isMfaOn: false });
    await node.call("identity.verifyTotp", { totp: codeOf(secret ?? "", -1) }, metaOf(user));
    expect(await node.call("identity.me", {}, metaOf(user))).toMatchObject({ isMfaOn: true });
    await expect(node.call("identity.login", login)).rejects.toEqual(refusal(401, "MFA_REQUIRED"));
    const signedIn = await node.call("identity.login", { ...login, totp: codeOf(secret ?? "") });
    expect(signedIn.user.id).toBe(user.user.id);
    expect(hasEnded(user)).toBe(false);
    await node.call("identity.refresh", { refreshToken: user.refreshToken });
  });

  test("is not told of when the password is wrong", async () => {
    const { user, secret } = await enrol();
    const attempt = node.call("identity.login", {
      email: user.user.email,
      password: "wrong",
      totp: codeOf(secret),
    });
    await expect(attempt).rejects.toEqual(refusal(401, "INVALID_CREDENTIALS"));
  });

  test("keeps its seed sealed and its recovery codes hashed", async () => {
    const { user, secret, recoveryCodes } = await enrol();
    const [row] = await inDatabase(
      `SELECT encode(sealed_secret, 'escape') AS sealed,
        (SELECT json_agg(c.hash) FROM control.recovery_codes c WHERE c.user_id = f.user_id) AS hashes
       FROM control.totp_factors f WHERE user_id = $1`,
      [user.user.id],
    );
    expect(row?.hashes).toHaveLength(10);
    const text = JSON.stringify(row);
    expect(text).not.toContain(secret);
    for (const code of recoveryCodes) expect(text).not.toContain(code);
  });

  test("accepts a code once, and none of a step before", async () => {
    const enrolled = await enrol();
    const [now, next] = [codeOf(enrolled.secret), codeOf(enrolled.secret, 1)];
    await login(enrolled, next);
    for (const code of [next, now])
      await expect(login(enrolled, code)).rejects.toEqual(refusal(401, "INVALID_CREDENTIALS"));
  });

  test("accepts a code once from 50 at the same time", async () => {
    const enrolled = await enrol();
    const code = codeOf(enrolled.secret);
    const outcomes = await Promise.allSettled(Array.from({ length: 50 }, () => login(enrolled, code)));
    expect(countOf(outcomes, "fulfilled")).toBe(1);
    const sessions = await inDatabase("SELECT FROM control.sessions WHERE user_id = $1", [
      enrolled.user.user.id,
    ]);
    expect(sessions).toHaveLength(2); // of registering, and of the one
  });

  test("has ten recovery codes, each of which signs in once, also from many at the same time", async () => {
    const enrolled = await enrol();
    const [first = "", second = ""] = enrolled.recoveryCodes;
    expect(new Set(enrolled.recoveryCodes).size).toBe(10);
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => login(enrolled, first)));
    expect(countOf(outcomes, "fulfilled")).toBe(1);
    await inDatabase("DELETE FROM control.sign_in_failures");
    await login(enrolled, second.toUpperCase().replaceAll("-", " "));
    await expect(login(enrolled, second)).rejects.toEqual(refusal(401, "INVALID_CREDENTIALS"));
  });

  test("refuses after five wrong codes, also the right one", async () => {
    const enrolled = await enrol();
    for (let n = 0; n < 5; n++)
      await expect(login(enrolled, wrongCode(enrolled.secret))).rejects.toEqual(
        refusal(401, "INVALID_CREDENTIALS"),
      );
    await expect(login(enrolled, codeOf(enrolled.secret))).rejects.toEqual(refusal(429, "TOO_MANY_ATTEMPTS"));
  });

  test("cannot be replaced while it is on, and is verified once", async () => {
    const { user, secret } = await enrol();
    const again = node.call("identity.enrollTotp", {}, metaOf(user));
    await expect(again).rejects.toEqual(refusal(409, "MFA_ALREADY_ON"));
    const code = codeOf(secret);
    await expect(node.call("identity.verifyTotp", { totp: code }, metaOf(user))).rejects.toEqual(
      refusal(409, "MFA_ALREADY_ON"),
    );
    const other = await register();
    const nothing = node.call("identity.verifyTotp", { totp: code }, metaOf(other));
    await expect(nothing).rejects.toEqual(refusal(409, "MFA_NOT_ENROLLED"));
  });

  test("is turned off with password and code only, and sessions go on", async () => {
    const enrolled = await enrol();
    const { user, secret } = enrolled;
    const disable = (given: { password: string; totp: string }) =>
      node.call("identity.disableTotp", given, metaOf(user));
    for (const given of [
      { password: "wrong", totp: codeOf(secret) },
      { password, totp: wrongCode(secret) },
      { password, totp: codeOf(secret, -1) }, // used when it was verified
    ])
      await expect(disable(given)).rejects.toEqual(refusal(401, "INVALID_CREDENTIALS"));
    await disable({ password, totp: codeOf(secret) });
    expect((await login(enrolled)).user.id).toBe(user.user.id);
    expect(hasEnded(user)).toBe(false);
    const kept = await inDatabase("SELECT FROM control.recovery_codes WHERE user_id = $1", [user.user.id]);
    expect(kept).toEqual([]);
    await expect(disable({ password, totp: codeOf(secret) })).rejects.toEqual(
      refusal(409, "MFA_NOT_ENROLLED"),
    );
  });
});

test("it is called totp in every body", () => {
  const taken = contracts.flatMap(({ name, actions }) =>
    Object.entries(actions).flatMap(([action, { params }]) =>
      Object.entries(params instanceof z.ZodObject ? params.shape : {})
        .filter(([, field]) => field === secondFactorCode || innerOf(field) === secondFactorCode)
        .map(([field]) => `${name}.${action}: ${field}`),
    ),
  );
  expect(taken.length).toBeGreaterThanOrEqual(6);
  expect(taken.filter((one) => !one.endsWith(": totp"))).toEqual([]);
});
const innerOf = (field: unknown) => (field instanceof z.ZodOptional ? field.unwrap() : field);
