import { describe, expect, test } from "@jest/globals";
import { TOTP } from "otpauth";
import type { SignedIn } from "../../services/identity/identity.contract.ts";
import {
  hasEnded,
  hire,
  login,
  metaOf,
  node,
  password,
  refusal,
  register,
  useIdentity,
} from "../support/identity.ts";
import { eventually } from "../support/eventually.ts";

useIdentity();

const typesOf = async (admin: SignedIn) =>
  (await node.call("identity.listAuditLog", { limit: 5 }, metaOf(admin))).data.map(({ type }) => type);

describe("changing one's password", () => {
  const next = "another long secret";
  const change = (user: SignedIn, currentPassword = password, newPassword = next) =>
    node.call("identity.changePassword", { currentPassword, newPassword }, metaOf(user));

  test("ends the user's other sessions and keeps this one", async () => {
    const admin = await register();
    const [other, stranger] = [await login(admin.user.email), await register()];
    await change(admin);
    await eventually(() => hasEnded(other));
    expect([hasEnded(admin), hasEnded(stranger)]).toEqual([false, false]);
    await node.call("identity.refresh", { refreshToken: admin.refreshToken });
    await expect(login(admin.user.email)).rejects.toEqual(refusal(401, "INVALID_CREDENTIALS"));
    await node.call("identity.login", { email: admin.user.email, password: next });
    expect(await typesOf(admin)).toContain("user.password_changed");
  });

  test("needs the current one, and a new one that is not easily guessed", async () => {
    const admin = await register();
    await expect(change(admin, "not my password")).rejects.toEqual(refusal(401, "INVALID_CREDENTIALS"));
    await expect(change(admin, password, admin.user.email)).rejects.toMatchObject({
      data: { errors: [{ path: "newPassword", code: "too_common" }] },
    });
    await login(admin.user.email);
  });

  test("is refused after five wrong guesses, also with the right one", async () => {
    const admin = await register();
    for (let guess = 0; guess < 5; guess++)
      await expect(change(admin, `guess number ${guess}`)).rejects.toMatchObject({ code: 401 });
    await expect(change(admin)).rejects.toEqual(refusal(429, "TOO_MANY_ATTEMPTS"));
  });

  test("of many at once with the same password, one succeeds", async () => {
    const admin = await register();
    const outcomes = await Promise.allSettled(
      Array.from({ length: 5 }, (_, index) => change(admin, password, `${next} ${index}`)),
    );
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  test("is not for API keys", async () => {
    const admin = await register();
    const meta = { ...metaOf(admin), scopes: ["users:update"] };
    const attempt = node.call(
      "identity.changePassword",
      { currentPassword: password, newPassword: next },
      meta,
    );
    await expect(attempt).rejects.toEqual(refusal(403, "SESSION_NEEDED"));
  });
});

describe("taking a lost second factor from a user", () => {
  async function withFactor(user: SignedIn): Promise<void> {
    const { secret } = await node.call("identity.enrollTotp", {}, metaOf(user));
    const code = new TOTP({ secret: secret ?? "" }).generate();
    await node.call("identity.verifyTotp", { totp: code }, metaOf(user));
  }

  test("lets the user sign in with the password, ends the sessions, and is noted", async () => {
    const admin = await register();
    const rep = await hire(admin, "sales_rep");
    await withFactor(rep);
    await expect(login(rep.user.email)).rejects.toEqual(refusal(401, "MFA_REQUIRED"));
    await node.call("identity.resetUserMfa", { id: rep.user.id }, metaOf(admin));
    await eventually(() => hasEnded(rep));
    await login(rep.user.email);
    expect(await typesOf(admin)).toContain("mfa.reset");
    const again = node.call("identity.resetUserMfa", { id: rep.user.id }, metaOf(admin));
    await expect(again).rejects.toEqual(refusal(409, "MFA_NOT_ENROLLED"));
  });

  test("is not for one's own, nor another organization's, nor that of somebody who may do more", async () => {
    const [admin, stranger] = [await register(), await register()];
    await withFactor(admin);
    const reset = (by: SignedIn, meta = metaOf(by)) =>
      node.call("identity.resetUserMfa", { id: admin.user.id }, meta);
    await expect(reset(admin)).rejects.toEqual(refusal(409, "MFA_IS_OWN"));
    await expect(reset(stranger)).rejects.toEqual(refusal(404, "USER_NOT_FOUND"));
    const clerk = await node.call(
      "identity.createRole",
      { name: "Clerk", permissions: ["users:update"] },
      metaOf(admin),
    );
    const rep = await hire(admin, "sales_rep");
    const asClerk = { ...metaOf(rep), role: clerk.id };
    await expect(reset(rep, asClerk)).rejects.toEqual(refusal(403, "ROLE_NOT_GRANTABLE"));
    expect(await node.call("identity.me", {}, metaOf(admin))).toMatchObject({ isMfaOn: true });
  });
});
