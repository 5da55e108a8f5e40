import { describe, expect, test } from "@jest/globals";
import { Browser } from "../support/browser.ts";
import { inspect } from "../support/database.ts";
import { auditOf, enrolTotp, frontEnd, newVerifier } from "../support/federation.ts";
import { originOf, startNode, testEnv, type TestNode } from "../support/node.ts";
import {
  all,
  admin,
  newAccount,
  start,
  callback,
  signIn,
  invite,
  clientOf,
  member,
  useOauth,
} from "../support/oauth.ts";

useOauth();

describe("a first sign-in with a provider", () => {
  test("makes the user who was invited, and later signs in the same one", async () => {
    const account = newAccount();
    await invite(account.email.toUpperCase());
    const first = await signIn(account);
    expect(first).toMatchObject({
      status: 200,
      body: { user: { email: account.email, role: "viewer" }, organization: { id: admin.organizationId } },
    });
    expect(first.headers.get("cache-control")).toBe("no-store");
    const user = clientOf(first);
    expect(await user.get("/auth/me")).toMatchObject({ status: 200 });
    // the address may change at the provider: the person stays who they are
    const again = await signIn({ ...account, email: "renamed@elsewhere.test" });
    expect(again.body).toMatchObject({ user: { id: user.userId } });
    expect(await auditOf(all, user.userId)).toEqual([
      "user.signed_in",
      "user.signed_in",
      "identity.linked",
      "user.joined",
    ]);
    expect((await admin.get("/invites")).body).toMatchObject({ data: [] });
  });

  test("leaves a user without a password none that could be guessed", async () => {
    const { account } = await member();
    for (const password of ["", " ", "correct-horse-battery"])
      expect(await all.visitor.post("/auth/login", { email: account.email, password })).toMatchObject({
        status: 401,
      });
  });

  test("is refused to who is unknown, and registers nobody", async () => {
    const account = newAccount();
    expect(await signIn(account)).toMatchObject({ status: 403, body: { code: "NO_ACCOUNT" } });
  });

  test.each([
    ["is not verified", { email_verified: false }],
    ["is not said to be verified", { email_verified: undefined }],
    ["is of a domain that is not the provider's", { email: "somebody@gmail.com" }],
    ["is of a domain that only ends alike", { email: "somebody@notcorp.test" }],
  ])("is refused where the address %s, whether or not it is known", async (_title, overrides) => {
    const account = { ...newAccount(), ...overrides };
    const unknown = await signIn(account);
    await invite(account.email);
    const known = await signIn(account);
    for (const answer of [unknown, known])
      expect(answer).toMatchObject({ status: 403, body: { code: "EMAIL_NOT_VERIFIED" } });
  });

  test("does not take over an account that has a password, unless its organization says so", async () => {
    const account = newAccount();
    const password = "correct-horse-battery";
    const made = await admin.post("/users", { name: "P", email: account.email, role: "viewer", password });
    const { id } = made.body as { id: string };
    const settings = (linksByEmail: boolean) =>
      admin.send("PUT", "/organization/federation", { linksByEmail });
    const exists = { status: 403, body: { code: "ACCOUNT_EXISTS" } };
    // anybody may have written the address there, and wait for its owner
    await settings(true);
    expect(await signIn(account)).toMatchObject(exists);
    await settings(false);
    await inspect(
      all.node.databases[0] as string,
      "UPDATE control.users SET email_verified_at = now() WHERE id = $1",
      [id],
    );
    expect(await signIn(account)).toMatchObject(exists);
    expect((await auditOf(all, id))[0]).toBe("user.sign_in_failed");
    const other = await all.visitor.register("Elsewhere");
    await other.send("PUT", "/organization/federation", { linksByEmail: true });
    expect(await signIn(account)).toMatchObject(exists);
    expect(await settings(true)).toMatchObject({ status: 200 });
    expect(await signIn(account)).toMatchObject({ status: 200, body: { user: { id } } });
    await settings(false);
  });

  test("does not choose among organizations that invited the same address", async () => {
    const account = newAccount();
    const other = await all.visitor.register("Another");
    await invite(account.email);
    await other.post("/users/invite", { name: "I", email: account.email, role: "admin" });
    expect(await signIn(account)).toMatchObject({ status: 403, body: { code: "NO_ACCOUNT" } });
  });

  test("makes one user when it comes twice at the same time", async () => {
    const account = newAccount();
    await invite(account.email);
    const pages = await Promise.all(Array.from({ length: 4 }, () => signIn(account)));
    const users = new Set(pages.flatMap(({ body }) => (body.user as { id: string } | undefined)?.id ?? []));
    expect(users.size).toBe(1);
  });
});

describe("a sign-in with a provider", () => {
  test("is refused to a user who was deactivated", async () => {
    const { account, user } = await member();
    await admin.send("PATCH", `/users/${user.userId}`, { isActive: false });
    expect(await signIn(account)).toMatchObject({ status: 403, body: { code: "ACCOUNT_NOT_ACTIVE" } });
    expect((await auditOf(all, user.userId))[0]).toBe("user.sign_in_failed");
  });

  test("is refused while the organization is suspended", async () => {
    const { account } = await member();
    const suspend = (when: string) =>
      inspect(
        all.node.databases[0] ?? "",
        `UPDATE control.organizations SET suspended_at = ${when} WHERE id = $1`,
        [admin.organizationId],
      );
    await suspend("now()");
    expect(await signIn(account)).toMatchObject({ status: 403, body: { code: "ORGANIZATION_SUSPENDED" } });
    await suspend("NULL");
    expect(await signIn(account)).toMatchObject({ status: 200 });
  });

  test("still asks for the second factor, unless a trusted provider did", async () => {
    const { account, user } = await member();
    const codeNow = await enrolTotp(user);
    const browser = new Browser();
    const { status, body } = await signIn({ ...account, amr: ["pwd"] }, browser);
    expect({ status, body }).toMatchObject({ status: 200, body: { next: "totp" } });
    const trade = (fields: object, by = browser) =>
      by.open(`${all.api}/auth/oauth/token`, {
        init: {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: JSON.stringify({ code: body.code, ...fields }),
        },
      });
    const invalid = { status: 400, body: { code: "SIGN_IN_CODE_INVALID" } };
    expect(await trade({ totp: codeNow() }, new Browser())).toMatchObject(invalid);
    expect(await trade({})).toMatchObject({ status: 401, body: { code: "MFA_REQUIRED" } });
    expect(await trade({ totp: "000000" })).toMatchObject({
      status: 401,
      body: { code: "INVALID_CREDENTIALS" },
    });
    expect(await trade({ totp: codeNow() })).toMatchObject({
      status: 200,
      body: { user: { id: user.userId } },
    });
    expect(await trade({ totp: codeNow() })).toMatchObject(invalid);
    expect(await signIn({ ...account, amr: ["pwd", "mfa"] })).toMatchObject({
      status: 200,
      body: { user: { id: user.userId } },
    });
  });

  test("returns to a front end with a code that only it can trade, once", async () => {
    const { account, user } = await member();
    const { verifier, challenge } = newVerifier();
    const query = `?redirect=${encodeURIComponent(`${frontEnd}/done?tab=1`)}&challenge=${challenge}`;
    const { url, status } = await signIn(account, new Browser(), query);
    expect({ status, url }).toMatchObject({
      status: 302,
      url: expect.stringMatching(/^https:\/\/app\.example\.com\/done\?tab=1&code=[\w-]{43}$/) as unknown,
    });
    const code = new URL(url).searchParams.get("code");
    const trade = (fields: object) => all.visitor.post("/auth/oauth/token", { code, ...fields });
    const invalid = { status: 400, body: { code: "SIGN_IN_CODE_INVALID" } };
    expect(await trade({})).toMatchObject(invalid);
    expect(await trade({ verifier: newVerifier().verifier })).toMatchObject(invalid);
    const traded = await Promise.all(Array.from({ length: 5 }, () => trade({ verifier })));
    expect(traded.filter((answer) => answer.status === 200)).toHaveLength(1);
    expect(traded.find((answer) => answer.status === 200)?.body).toMatchObject({ user: { id: user.userId } });
    const [row] = await inspect(
      all.node.databases[0] ?? "",
      "SELECT json_agg(a) AS rows FROM control.sign_in_attempts a",
    );
    expect(JSON.stringify(row)).not.toContain(challenge);
  });

  test("tells the front end why it failed", async () => {
    const query = `?redirect=${encodeURIComponent(frontEnd)}&challenge=${newVerifier().challenge}`;
    const { url } = await signIn(newAccount(), new Browser(), query);
    expect(url).toBe(`${frontEnd}/?error=NO_ACCOUNT`);
  });

  test.each([
    "https://evil.example.com/",
    "https://app.example.com.evil.example/",
    "https://app.example.com@evil.example/",
    "http://app.example.com/",
    "javascript:alert(1)//https://app.example.com",
    "//app.example.com/",
  ])("does not return to %s", async (redirect) => {
    const query = `?redirect=${encodeURIComponent(redirect)}&challenge=${newVerifier().challenge}`;
    expect(await all.visitor.get(`/auth/oauth/real/start${query}`)).toMatchObject({
      status: 400,
      body: { code: "REDIRECT_REFUSED" },
    });
  });

  test("needs a challenge where it returns to a front end", async () => {
    const query = `?redirect=${encodeURIComponent(frontEnd)}`;
    expect(await all.visitor.get(`/auth/oauth/real/start${query}`)).toMatchObject({
      status: 400,
      body: { errors: [{ path: "challenge" }] },
    });
  });

  test("sets a cookie that scripts cannot read and other sites do not send", async () => {
    const { headers } = await new Browser().open(start(), { until: all.real.issuer });
    expect(headers.get("set-cookie")).toMatch(
      /^sangam_sign_in=[\w-]{43}; Path=\/; Max-Age=600; HttpOnly; SameSite=Lax$/,
    );
    expect(headers.get("referrer-policy")).toBe("no-referrer");
  });

  test("begins at one node and ends at another", async () => {
    const { account, user } = await member();
    const other = await startNode(
      testEnv(all.node.databases, {
        SERVICES: "gateway,identity",
        PUBLIC_URL: new URL(all.api).origin,
        OUTBOUND_ALLOW: "127.0.0.1",
        OIDC_PROVIDERS: JSON.stringify(all.node.runtime.env.OIDC_PROVIDERS),
      }),
    );
    try {
      all.real.account = account;
      const browser = new Browser();
      const { url } = await browser.open(start(), { until: callback() });
      const elsewhere = url.replace(new URL(all.api).origin, originOf(other as TestNode));
      const cookie = browser.cookieOf(all.api);
      const answer = await fetch(elsewhere, { headers: { cookie } });
      expect(await answer.json()).toMatchObject({ user: { id: user.userId } });
    } finally {
      await other.stop();
    }
  });
});
