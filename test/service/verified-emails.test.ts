import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { SignedIn } from "../../services/identity/identity.contract.ts";
import { hashPassword } from "../../services/identity/sign-in/passwords.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { metaOf, newEmail, refusal } from "../support/identity.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";
import { MailServer } from "../support/smtp.ts";

let node: TestNode;
let mails: MailServer;

beforeAll(async () => {
  mails = await MailServer.listen();
  node = await startTestNode({ SERVICES: "identity,worker", SMTP_URL: mails.url });
});
afterAll(async () => {
  await node.stop();
  await mails.close();
});

const password = "the squatter's secret";
const ownPassword = "the owner's own secret";
const register = (email = newEmail(), chosen = password, organizationName = "Acme") =>
  node.call("identity.register", { organizationName, name: "Asha", email, password: chosen });
const login = (email: string, chosen: string) => node.call("identity.login", { email, password: chosen });
const verify = (as: SignedIn, token: string) => node.call("identity.verifyEmail", { token }, metaOf(as));
const userOf = async (signedIn: SignedIn) => (await node.call("identity.me", {}, metaOf(signedIn))).user;
const inDatabase = <R extends Record<string, unknown>>(sql: string, values: unknown[] = []) =>
  inspect<R>(node.databases[0] as string, sql, values);
type Page = Parameters<MailServer["tokensFor"]>[1];
const tokenOf = (email: string, page: Page, nth = 1): Promise<string> =>
  eventually(() => mails.tokensFor(email, page)[nth - 1]);
/** The link that was mailed for this organization's account. */
const linkOf = (email: string, organizationName: string): Promise<string> =>
  eventually(() => /token=([\w-]+)/.exec(mails.mailsTo(email, `"${organizationName}"`)[0] ?? "")?.[1]);

describe("an address", () => {
  test("is proved by the mailed link, once, to who is signed in to the account", async () => {
    const admin = await register();
    const { email } = admin.user;
    expect(admin.user.emailVerifiedAt).toBeNull();
    const token = await tokenOf(email, "verify-email");
    await expect(verify(admin, `${token}x`)).rejects.toEqual(refusal(400, "LINK_INVALID"));
    // one click on a stranger's link does not give their account the address
    await expect(verify(await register(), token)).rejects.toEqual(refusal(400, "LINK_INVALID"));
    await expect(node.call("identity.verifyEmail", { token })).rejects.toEqual(
      refusal(401, "UNAUTHENTICATED"),
    );
    await verify(admin, token);
    expect((await userOf(admin)).emailVerifiedAt).toEqual(expect.any(String));
    await expect(verify(admin, token)).rejects.toEqual(refusal(400, "LINK_INVALID"));
    const [entry] = await inDatabase(
      "SELECT type FROM control.audit_log WHERE subject_id = $1 ORDER BY id DESC LIMIT 1",
      [admin.user.id],
    );
    expect(entry).toEqual({ type: "user.email_verified" });
  });

  test("is not proved by a link that is too old, or of somebody who has left", async () => {
    const admin = await register();
    const token = await tokenOf(admin.user.email, "verify-email");
    await inDatabase("UPDATE control.email_verifications SET expires_at = now() WHERE user_id = $1", [
      admin.user.id,
    ]);
    await expect(verify(admin, token)).rejects.toEqual(refusal(400, "LINK_INVALID"));
    const other = await register();
    const late = await tokenOf(other.user.email, "verify-email");
    await inDatabase("UPDATE control.users SET is_active = false WHERE id = $1", [other.user.id]);
    await expect(verify(other, late)).rejects.toEqual(refusal(400, "LINK_INVALID"));
  });

  test("is mailed another link when its user asks, three times in a quarter of an hour, and none once it is proved", async () => {
    const admin = await register();
    const { email } = admin.user;
    await tokenOf(email, "verify-email");
    const resend = () => node.call("identity.resendVerification", {}, metaOf(admin));
    await resend();
    await tokenOf(email, "verify-email", 2);
    await resend();
    await verify(admin, await tokenOf(email, "verify-email", 3));
    await inDatabase("UPDATE control.users SET email_verified_at = NULL WHERE id = $1", [admin.user.id]);
    await expect(resend()).rejects.toEqual(refusal(429, "TOO_MANY_ATTEMPTS"));
    await inDatabase("UPDATE control.users SET email_verified_at = now() WHERE id = $1", [admin.user.id]);
    expect(await resend()).toBeNull();
    expect(mails.tokensFor(email, "verify-email")).toHaveLength(3);
  });

  test("of several accounts is one's: who proves it first", async () => {
    const email = newEmail();
    const accounts = [await register(email, password, "First"), await register(email, ownPassword, "Second")];
    const tokens = [await linkOf(email, "First"), await linkOf(email, "Second")];
    const outcomes = await Promise.allSettled(
      accounts.map((account, n) => verify(account, tokens[n] as string)),
    );
    expect(outcomes.map(({ status }) => status).sort()).toEqual(["fulfilled", "rejected"]);
    for (const [n, outcome] of outcomes.entries()) {
      if (outcome.status === "rejected") expect(outcome.reason).toEqual(refusal(409, "EMAIL_TAKEN"));
      const { emailVerifiedAt } = await userOf(accounts[n] as SignedIn);
      expect(emailVerifiedAt !== null).toBe(outcome.status === "fulfilled");
    }
  });

  test("is proved by the link to a new password; while nobody has proved it, each account is mailed one", async () => {
    const email = newEmail();
    const [squatter, owner] = [
      await register(email, password, "Squat"),
      await register(email, password, "Own"),
    ];
    await node.call("identity.forgotPassword", { email });
    await tokenOf(email, "reset-password");
    expect(mails.mailsTo(email, "/reset-password")).toHaveLength(1);
    const [ofFirst, ofSecond] = mails.tokensFor(email, "reset-password");
    expect(mails.mailsTo(email, "/reset-password")[0]).toContain('"Own"');
    await node.call("identity.resetPassword", { token: ofSecond as string, password: ownPassword });
    expect((await userOf(await login(email, ownPassword))).id).toBe(owner.user.id);
    expect((await userOf(await login(email, ownPassword))).emailVerifiedAt).toEqual(expect.any(String));
    // the other account goes on, and proves nothing any more
    await node.call("identity.resetPassword", { token: ofFirst as string, password: "yet another secret" });
    const other = await login(email, "yet another secret");
    expect(other.user).toMatchObject({ id: squatter.user.id, emailVerifiedAt: null });
    await node.call("identity.forgotPassword", { email });
    await tokenOf(email, "reset-password", 3);
    expect(mails.tokensFor(email, "reset-password")).toHaveLength(3);
  });
});

describe("somebody who registered with another's address", () => {
  test("does not keep its owner out of an organization that invites them", async () => {
    const email = newEmail();
    const squatter = await register(email);
    const admin = await register();
    await node.call("identity.inviteUser", { name: "Ravi", email, role: "viewer" }, metaOf(admin));
    const token = await tokenOf(email, "accept-invite");
    const joined = await node.call("identity.acceptInvite", { token, password: ownPassword });
    expect(joined.organization.id).toBe(admin.organization.id);
    expect(joined.user.emailVerifiedAt).toEqual(expect.any(String));
    expect((await login(email, ownPassword)).user.id).toBe(joined.user.id);
    // they lose nothing but what they never had
    expect((await login(email, password)).user.id).toBe(squatter.user.id);
    const squattersLink = await tokenOf(email, "verify-email");
    await expect(verify(squatter, squattersLink)).rejects.toEqual(refusal(409, "EMAIL_TAKEN"));
  });

  test("does not keep its owner from registering", async () => {
    const email = newEmail();
    await register(email);
    const owner = await register(email, ownPassword);
    expect((await login(email, ownPassword)).user.id).toBe(owner.user.id);
  });
});

test("an upgrade from 0.1.0 proves the addresses that mails or providers of the platform have reached, and knows who invited", async () => {
  const url = await createDatabase();
  try {
    const organization = "01890000-0000-7000-8000-000000000000";
    const idOf = (n: number) => `01890000-0000-7000-8000-00000000000${n}`;
    await inspect(
      url,
      `INSERT INTO control.organizations (id, name, created_at, updated_at) VALUES ('${organization}', 'Old', now(), now());
      INSERT INTO control.users (id, organization_id, name, email, role, password_hash, created_at, updated_at)
        SELECT ('01890000-0000-7000-8000-00000000000' || n)::uuid, '${organization}', 'U', n || '@old.example', 'admin', '',
          now(), now() FROM generate_series(1, 6) n;
      INSERT INTO control.invites (id, organization_id, name, email, role, expires_at, created_at)
        VALUES ('${idOf(8)}', '${organization}', 'I', 'i@old.example', 'viewer', now(), now()),
          ('${idOf(9)}', '${organization}', 'I', 'j@old.example', 'viewer', now(), now())`,
    );
    const note = (type: string, subject: string, principal: string | null, details: object) =>
      inspect(
        url,
        `INSERT INTO control.audit_log (organization_id, id, type, subject_id, actor_id, details, created_at)
          VALUES ($1, gen_random_uuid(), $2, $3, $4, $5, '2026-01-02T03:04:05Z')`,
        [organization, type, subject, principal, JSON.stringify(details)],
      );
    await note("user.joined", idOf(1), idOf(1), { role: "viewer" }); // by a mailed invitation
    await note("user.password_reset", idOf(2), null, {});
    await note("user.joined", idOf(3), idOf(3), { provider: "google" });
    await note("user.joined", idOf(4), idOf(4), { provider: "saml" });
    await note("user.joined", idOf(5), idOf(6), { role: "viewer" }); // added by a colleague
    await note("user.invited", idOf(8), idOf(6), { role: "viewer" });

    const file = readFileSync("entities/migrations/control/0003_verified_emails.sql", "utf8");
    await inspect(url, `BEGIN; ${file.slice(file.indexOf("SET LOCAL ROLE"))} COMMIT`);
    const proved = await inspect(
      url,
      "SELECT id, email_verified_at AS at FROM control.users WHERE email_verified_at IS NOT NULL ORDER BY id",
    );
    const at = new Date("2026-01-02T03:04:05Z");
    expect(proved).toEqual([1, 2, 3].map((n) => ({ id: idOf(n), at })));
    const invites = await inspect(url, "SELECT invited_by FROM control.invites ORDER BY id");
    expect(invites).toEqual([{ invited_by: idOf(6) }, { invited_by: null }]);
  } finally {
    await dropDatabase(url);
  }
});

describe("a user who is added with a known address", () => {
  const add = (admin: SignedIn, email: string) =>
    node.call("identity.createUser", { name: "Ravi", email, role: "viewer", password }, metaOf(admin));
  const shape = (user: object) =>
    Object.fromEntries(
      Object.entries(user).map(([name, value]) => [name, value === null ? null : typeof value]),
    );

  test("is answered as one with an address that nobody has; the person is mailed what to do", async () => {
    const admin = await register(newEmail(), password, "Adders");
    const [unproved, proved, unknown] = [newEmail(), newEmail(), newEmail()];
    await register(unproved, ownPassword);
    const owner = await register(proved, ownPassword);
    await verify(owner, await tokenOf(proved, "verify-email"));
    const answers = [];
    for (const email of [unknown, unproved, proved]) answers.push(await add(admin, email));
    expect(answers.map(shape)).toEqual(Array(3).fill(shape(answers[0] as object)));
    const [toUnknown, toUnproved, toProved] = await Promise.all(
      [unknown, unproved, proved].map((email) => eventually(() => mails.mailsTo(email, '"Adders"')[0])),
    );
    for (const mail of [toUnknown, toUnproved]) expect(mail).toContain("/verify-email?token=");
    expect(toProved).not.toContain("token=");
    expect(toProved).toContain("invite you at another address");
    // both sign in, each with their own password
    expect((await login(proved, ownPassword)).user.id).toBe(owner.user.id);
    expect((await login(proved, password)).organization.id).toBe(admin.organization.id);
  });

  test("twice in one organization is refused", async () => {
    const admin = await register();
    const email = newEmail();
    await add(admin, email);
    await expect(add(admin, email)).rejects.toEqual(refusal(409, "EMAIL_TAKEN"));
  });
});

describe("a sign-in with an address of several accounts", () => {
  const saltsOf = async (email: string) =>
    new Set(
      (
        await inDatabase<{ salt: string }>(
          "SELECT split_part(password_hash, '$', 5) AS salt FROM control.users WHERE email = $1",
          [email],
        )
      ).map(({ salt }) => salt),
    );

  test("goes to the one whose password it is, and with the same password to who has proved the address", async () => {
    const email = newEmail();
    const made = [];
    for (let n = 0; n < 3; n++) made.push(await register(email, password, `Same ${n}`));
    expect((await login(email, password)).user.id).toBe(made[0]?.user.id);
    await verify(made[2] as SignedIn, await linkOf(email, "Same 2"));
    expect((await login(email, password)).user.id).toBe(made[2]?.user.id);
    await expect(login(email, "nobody's password")).rejects.toEqual(refusal(401, "INVALID_CREDENTIALS"));
  });

  test("computes one hash however many there are: they share their salt, also those of release 0.1.0", async () => {
    const email = newEmail();
    const old = await register(email);
    await inDatabase("UPDATE control.users SET password_hash = $2 WHERE id = $1", [
      old.user.id,
      await hashPassword(password),
    ]);
    const [salt] = await saltsOf(email);
    await Promise.all([1, 2, 3].map(() => register(email, ownPassword)));
    await node.call(
      "identity.changePassword",
      { currentPassword: password, newPassword: "a third secret of all" },
      metaOf(old),
    );
    expect(await saltsOf(email)).toEqual(new Set([salt]));
    const fresh = newEmail();
    await Promise.all([1, 2, 3].map(() => register(fresh, ownPassword)));
    expect((await saltsOf(fresh)).size).toBe(1);
    expect(await saltsOf(fresh)).not.toEqual(await saltsOf(newEmail()));
    expect((await login(email, "a third secret of all")).user.id).toBe(old.user.id);
  });
});
