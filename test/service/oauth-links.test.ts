import { describe, expect, test } from "@jest/globals";
import { forgetAttempts } from "../../services/identity/federation/sign-in-attempts.ts";
import { Browser } from "../support/browser.ts";
import { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { auditOf, frontEnd } from "../support/federation.ts";
import {
  all,
  admin,
  newAccount,
  start,
  callback,
  signIn,
  invite,
  member,
  useOauth,
} from "../support/oauth.ts";
import type { Account } from "../support/oidc.ts";

useOauth();

describe("the state of a sign-in", () => {
  const begin = async (account = newAccount()) => {
    await invite(account.email);
    all.real.account = account;
    const browser = new Browser();
    const { url } = await browser.open(start(), { until: callback() });
    return { browser, url };
  };
  const invalid = { status: 400, body: { code: "SIGN_IN_STATE_INVALID" } };

  test("works once, also when it comes many times at the same time", async () => {
    const { browser, url } = await begin();
    const pages = await Promise.all(Array.from({ length: 5 }, () => browser.open(url)));
    expect(pages.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(await browser.open(url)).toMatchObject(invalid);
  });

  test("is worth nothing in another browser, and stays with its own", async () => {
    const { browser, url } = await begin();
    const other = new Browser();
    await other.open(start(), { until: all.real.issuer });
    expect(await other.open(url)).toMatchObject(invalid);
    expect(await new Browser().open(url)).toMatchObject(invalid);
    expect(await browser.open(url)).toMatchObject({ status: 200 });
  });

  test("is worth nothing after ten minutes, nor when it was invented", async () => {
    const { browser, url } = await begin();
    await inspect(all.node.databases[0] ?? "", "UPDATE control.sign_in_attempts SET expires_at = now()");
    expect(await browser.open(url)).toMatchObject(invalid);
    expect(await browser.open(`${callback()}?code=1&state=invented`)).toMatchObject(invalid);
    expect(await browser.open(`${callback()}?code=1`)).toMatchObject({ status: 400 });
    expect(await browser.open(`${callback()}?code=1&state=a&state=b`)).toMatchObject({ status: 400 });
  });

  test("is forgotten once it has ended, and not before", async () => {
    const { database } = all.node.runtime;
    const { browser, url } = await begin();
    await inspect(all.node.databases[0] ?? "", "UPDATE control.sign_in_attempts SET expires_at = now()");
    const live = await begin();
    await database.transaction({ platform: database.control }, forgetAttempts);
    const rows = await inspect(all.node.databases[0] ?? "", "SELECT FROM control.sign_in_attempts");
    expect(rows).toHaveLength(1);
    expect(await browser.open(url)).toMatchObject(invalid);
    expect(await live.browser.open(live.url)).toMatchObject({ status: 200 });
  });

  test("does not go over to another provider", async () => {
    const { browser, url } = await begin();
    expect(await browser.open(url.replace("/real/", "/evil/"))).toMatchObject(invalid);
    expect(await browser.open(url.replace("/real/", "/nosuch/"))).toMatchObject({
      status: 404,
      body: { code: "SIGN_IN_PROVIDER_UNKNOWN" },
    });
  });

  test("does not let an answer in that names another issuer, or none (RFC 9207)", async () => {
    const unproven = { status: 403, body: { code: "SIGN_IN_UNPROVEN" } };
    for (const iss of [all.evil.issuer, undefined]) {
      const { browser, url } = await begin();
      const changed = new URL(url);
      if (iss === undefined) changed.searchParams.delete("iss");
      else changed.searchParams.set("iss", iss);
      expect(await browser.open(changed.href)).toMatchObject(unproven);
    }
  });

  test("does not make a code of another sign-in valid: each has its own verifier", async () => {
    const first = await begin();
    const second = await begin();
    const crossed = new URL(second.url);
    crossed.searchParams.set("code", new URL(first.url).searchParams.get("code") ?? "");
    expect(await second.browser.open(crossed.href)).toMatchObject({
      status: 403,
      body: { code: "SIGN_IN_UNPROVEN" },
    });
  });

  test("ends when the provider says no", async () => {
    const { browser, url } = await begin();
    const { searchParams } = new URL(url);
    const query = `state=${searchParams.get("state")}&iss=${encodeURIComponent(all.real.issuer)}&error=access_denied`;
    expect(await browser.open(`${callback()}?${query}`)).toMatchObject({
      status: 403,
      body: { code: "SIGN_IN_DENIED" },
    });
  });
});

describe("linked accounts of providers", () => {
  /** Links the account to the user, in a browser that may be another's. */
  async function link(user: Client, account: Account, { browser = new Browser(), query = {} } = {}) {
    all.real.account = account;
    const begun = await browser.open(`${all.api}/auth/oauth/real/link`, {
      init: {
        method: "POST",
        headers: { "content-type": "application/json", authorization: `Bearer ${user.token}` },
        body: JSON.stringify(query),
      },
    });
    return begun.body.url as string;
  }

  test("are added by who is signed in, listed, and taken away", async () => {
    const user = await admin.addUser("viewer");
    const account = { ...newAccount(), email: "private@elsewhere.test", email_verified: false };
    const browser = new Browser();
    const linked = await browser.open(await link(user, account, { browser }));
    expect(linked).toMatchObject({ status: 200, body: { provider: "real", issuer: all.real.issuer } });
    const { data } = (await user.get("/auth/identities")).body as { data: { id: string }[] };
    expect(data).toHaveLength(1);
    expect((await admin.get("/auth/identities")).body).toMatchObject({ data: [] });
    expect(await signIn(account)).toMatchObject({ status: 200, body: { user: { id: user.userId } } });
    const id = data[0]?.id ?? "";
    expect(await admin.send("DELETE", `/auth/identities/${id}`)).toMatchObject({ status: 404 });
    expect(await user.send("DELETE", `/auth/identities/${id}`)).toMatchObject({ status: 204 });
    expect(await signIn(account)).toMatchObject({ status: 403 });
    expect((await auditOf(all, user.userId)).slice(0, 3)).toEqual([
      "identity.unlinked",
      "user.signed_in",
      "identity.linked",
    ]);
  });

  test("are linked only in the browser of who began it", async () => {
    const user = await admin.addUser("viewer");
    const url = await link(user, newAccount());
    expect(await new Browser().open(url)).toMatchObject({
      status: 400,
      body: { code: "SIGN_IN_STATE_INVALID" },
    });
    expect((await user.get("/auth/identities")).body).toMatchObject({ data: [] });
  });

  test("belong to one user", async () => {
    const { account } = await member();
    const browser = new Browser();
    const other = await admin.addUser("viewer");
    const taken = await browser.open(await link(other, account, { browser }));
    expect(taken).toMatchObject({ status: 409, body: { code: "IDENTITY_TAKEN" } });
  });

  test("keep the only way in", async () => {
    const { user } = await member();
    const { data } = (await user.get("/auth/identities")).body as { data: { id: string }[] };
    expect(await user.send("DELETE", `/auth/identities/${data[0]?.id}`)).toMatchObject({
      status: 409,
      body: { code: "LAST_SIGN_IN" },
    });
  });

  test("lead back to the front end", async () => {
    const user = await admin.addUser("viewer");
    const browser = new Browser();
    const url = await link(user, newAccount(), { browser, query: { redirect: `${frontEnd}/settings` } });
    expect((await browser.open(url, { until: frontEnd })).url).toBe(`${frontEnd}/settings?linked=real`);
  });
});
