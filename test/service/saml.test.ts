import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { inspect, proveEmail } from "../support/database.ts";
import { Browser, type Page } from "../support/browser.ts";
import { Client } from "../support/client.ts";
import {
  auditOf,
  enrolTotp,
  frontEnd,
  newVerifier,
  startFederation,
  type Federation,
} from "../support/federation.ts";
import { begin, certificate, idpEntityId, responseOf, sign, ssoUrl, useSaml } from "../support/saml.ts";

let all: Federation;
let admin: Client;
let counter = 0;
const newEmail = () => `worker-${++counter}@corp.test`;

beforeAll(async () => {
  all = await startFederation();
  admin = await all.visitor.register("Corp");
  await proveEmail(all.node.databases[0], admin.userId);
  expect(await useSaml(admin)).toMatchObject({ status: 200 });
});
afterAll(() => all.stop());

const invite = (email: string) => admin.post("/users/invite", { name: "W", email, role: "viewer" });
async function signIn(
  nameId: string,
  overrides: Partial<Parameters<typeof responseOf>[0]> = {},
): Promise<Page> {
  const begun = await begin(all, admin.organizationId);
  return begun.post(sign(responseOf({ ...begun, nameId, ...overrides })));
}
const clientOf = ({ body }: Page) => new Client(new URL(all.api).origin, body as never);

describe("a sign-in with SAML", () => {
  test("is off until an admin sets it up, and then has metadata to give", async () => {
    const other = await all.visitor.register("Other");
    const off = { status: 404, body: { code: "SAML_OFF" } };
    expect(await all.visitor.get(`/auth/saml/${other.organizationId}/start`)).toMatchObject(off);
    expect(await all.visitor.get("/auth/saml/01890000-0000-7000-8000-000000000000/start")).toMatchObject(off);
    const metadata = await all.visitor.get(`/auth/saml/${other.organizationId}/metadata`);
    expect(metadata).toMatchObject({
      status: 200,
      contentType: "application/samlmetadata+xml; charset=utf-8",
    });
    expect(metadata.body).toContain(`Location="${all.api}/auth/saml/${other.organizationId}/acs"`);
    expect(metadata.body).toContain('WantAssertionsSigned="true"');
  });

  test("makes the user who was invited, and later signs in the same one", async () => {
    const email = newEmail();
    expect(await signIn(email)).toMatchObject({ status: 403, body: { code: "NO_ACCOUNT" } });
    await invite(email);
    const first = await signIn(email.toUpperCase());
    expect(first).toMatchObject({ status: 200, body: { user: { email, role: "viewer" } } });
    const user = clientOf(first);
    expect(await user.get("/auth/me")).toMatchObject({ status: 200 });
    expect((await signIn(email)).body).toMatchObject({ user: { id: user.userId } });
    expect(await auditOf(all, user.userId)).toEqual(["user.signed_in", "user.signed_in", "user.joined"]);
  });

  test("proves an address of the domain that the organization has proved, and no other: it says what it likes", async () => {
    const join = async (email: string) => {
      await invite(email);
      const { body } = await signIn(email);
      return (body as { user: { emailVerifiedAt: string | null } }).user.emailVerifiedAt;
    };
    const domain = `${admin.organizationId}.example`;
    expect(await join(`a@${domain}`)).toBeNull();
    expect(await admin.send("PATCH", "/organization", { domain })).toMatchObject({ status: 200 });
    expect(await join(`b@${domain}`)).toBeNull();
    await inspect(
      all.node.databases[0] as string,
      "UPDATE control.organizations SET domain_verified_at = now() WHERE domain = $1",
      [domain],
    );
    expect(await join(`c@${domain}`)).toEqual(expect.any(String));
    expect(await join(`d@sub.${domain}`)).toBeNull();
  });

  test("is refused to who was invited by somebody who may not invite any more, until they may", async () => {
    const other = await admin.addUser("admin");
    const email = newEmail();
    await other.post("/users/invite", { name: "W", email, role: "admin" });
    const change = (isActive: boolean) => admin.send("PATCH", `/users/${other.userId}`, { isActive });
    await change(false);
    expect(await signIn(email)).toMatchObject({ status: 403, body: { code: "NO_ACCOUNT" } });
    await change(true);
    expect(await signIn(email)).toMatchObject({ status: 200, body: { user: { email, role: "admin" } } });
  });

  test("is accepted when the whole response is signed as well", async () => {
    const { body } = await admin.get("/auth/me");
    const { email } = (body as { user: { email: string } }).user;
    const begun = await begin(all, admin.organizationId);
    const signed = sign(sign(responseOf({ ...begun, nameId: email })), { part: "Response" });
    expect(await begun.post(signed)).toMatchObject({ status: 200, body: { user: { id: admin.userId } } });
  });

  test("reads the email from the attribute that the admin names", async () => {
    const org = await all.visitor.register("Attributes");
    await useSaml(org, { emailAttribute: "mail" });
    const email = newEmail();
    await org.post("/users/invite", { name: "W", email, role: "viewer" });
    const attempt = async (attributes: string) => {
      const begun = await begin(all, org.organizationId);
      return begun.post(sign(responseOf({ ...begun, nameId: "opaque-4711", attributes })));
    };
    const attribute = (name: string, ...values: string[]) =>
      `<saml:AttributeStatement><saml:Attribute Name="${name}">${values
        .map((value) => `<saml:AttributeValue>${value}</saml:AttributeValue>`)
        .join("")}</saml:Attribute></saml:AttributeStatement>`;
    const unproven = { status: 403, body: { code: "SIGN_IN_UNPROVEN" } };
    expect(await attempt("")).toMatchObject(unproven);
    expect(await attempt(attribute("other", email))).toMatchObject(unproven);
    expect(await attempt(attribute("mail", email, "admin@corp.test"))).toMatchObject(unproven);
    expect(await attempt(attribute("mail", email))).toMatchObject({ status: 200, body: { user: { email } } });
  });

  test("is refused to the deactivated, to roles that may not, and to another organization's users", async () => {
    const email = newEmail();
    await invite(email);
    const { userId } = clientOf(await signIn(email));
    await admin.send("PATCH", `/users/${userId}`, { isActive: false });
    expect(await signIn(email)).toMatchObject({ status: 403, body: { code: "ACCOUNT_NOT_ACTIVE" } });
    expect((await auditOf(all, userId))[0]).toBe("user.sign_in_failed");
    await admin.send("PATCH", `/users/${userId}`, { isActive: true });
    await useSaml(admin, { roles: ["manager"] });
    expect(await signIn(email)).toMatchObject({ status: 403, body: { code: "ROLE_NOT_ALLOWED" } });
    await useSaml(admin);
    const stranger = await all.visitor.register("Strangers");
    const { body } = await stranger.get("/auth/me");
    const { user } = body as { user: { email: string } };
    expect(await signIn(user.email)).toMatchObject({ status: 403, body: { code: "NO_ACCOUNT" } });
  });

  test("still asks for the second factor", async () => {
    const email = newEmail();
    await invite(email);
    const user = clientOf(await signIn(email));
    const codeNow = await enrolTotp(user);
    const begun = await begin(all, admin.organizationId);
    const { body } = await begun.post(sign(responseOf({ ...begun, nameId: email })));
    expect(body).toMatchObject({ next: "totp" });
    const traded = await begun.browser.open(`${all.api}/auth/oauth/token`, {
      init: {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ code: body.code, totp: codeNow() }),
      },
    });
    expect(traded).toMatchObject({ status: 200, body: { user: { id: user.userId } } });
  });

  test("ends in the browser that began, and in no other", async () => {
    const email = newEmail();
    await invite(email);
    const begun = await begin(all, admin.organizationId);
    const victim = new Browser();
    const posted = await begun.post(sign(responseOf({ ...begun, nameId: email })), { browser: victim });
    expect(posted).toMatchObject({ status: 400, body: { code: "SIGN_IN_CODE_INVALID" } });
    expect(await begun.browser.open(posted.url)).toMatchObject({ status: 200, body: { user: { email } } });
    expect(await begun.browser.open(posted.url)).toMatchObject({ status: 400 });
  });

  test("returns to a front end with a code, after a 303", async () => {
    const email = newEmail();
    await invite(email);
    const { verifier, challenge } = newVerifier();
    const query = `?redirect=${encodeURIComponent(frontEnd)}&challenge=${challenge}`;
    const begun = await begin(all, admin.organizationId, query);
    const page = await begun.post(sign(responseOf({ ...begun, nameId: email })), { until: frontEnd });
    expect(page.status).toBe(303);
    const code = new URL(page.url).searchParams.get("code");
    expect(await all.visitor.post("/auth/oauth/token", { code, verifier })).toMatchObject({
      status: 200,
      body: { user: { email } },
    });
  });
});

test("a form is read for SAML alone, and only as long as one is", async () => {
  const form = (path: string, fields: Record<string, string>) =>
    fetch(`${all.api}${path}`, { method: "POST", body: new URLSearchParams(fields) });
  const acs = `/auth/saml/${admin.organizationId}/acs`;
  const statuses = await Promise.all([
    form("/auth/login", { email: "a@b.test", password: "p" }),
    form(acs, Object.fromEntries(Array.from({ length: 30 }, (_, n) => [`field${n}`, "1"]))),
    form(acs, { SAMLResponse: "A".repeat(2_000_000) }),
    form(acs, { SAMLResponse: "A".repeat(300_000) }),
    form(acs, { SAMLResponse: "A", nosuch: "1" }),
    fetch(`${all.api}${acs}`, { method: "POST", body: "SAMLResponse=A&SAMLResponse=B", headers: formType }),
  ]);
  expect(statuses.map(({ status }) => status)).toEqual([415, 413, 413, 422, 422, 422]);
});
const formType = { "content-type": "application/x-www-form-urlencoded" };

describe("the settings of SAML", () => {
  test.each([
    ["an address that is not https", { ssoUrl: "http://idp.corp.test/" }, "saml.ssoUrl"],
    ["an address that is a script", { ssoUrl: "javascript:alert(1)" }, "saml.ssoUrl"],
    ["no certificate", { certificates: [] }, "saml.certificates"],
    ["a certificate that is none", { certificates: ["MIIB"] }, "saml.certificates.0"],
    ["a role that is none", { roles: ["owner"] }, "saml.roles.0"],
  ])("refuse %s", async (_title, overrides, path) => {
    const answer = await useSaml(admin, overrides);
    expect(answer).toMatchObject({ status: 422, body: { errors: [{ path }] } });
  });

  test("are an admin's, and their change is in the audit log", async () => {
    const viewer = await admin.addUser("viewer");
    expect(await useSaml(viewer)).toMatchObject({ status: 403 });
    expect(await viewer.get("/organization/federation")).toMatchObject({ status: 403 });
    expect((await admin.get("/organization/federation")).body).toEqual({
      linksByEmail: false,
      saml: {
        ...{ idpEntityId, ssoUrl, certificates: [certificate.trim()], emailAttribute: null },
        roles: null,
      },
    });
    expect(await auditOf(all, admin.organizationId)).toContain("federation.configured");
  });
});
