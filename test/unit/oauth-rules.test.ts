import { describe, expect, test } from "@jest/globals";
import { oidcProviders } from "../../mixins/process/oidc-providers.ts";
import {
  allowedRedirect,
  decideFirstSignIn,
  isEmailTrusted,
  isSecondFactorDone,
  type Claims,
} from "../../services/identity/federation/oauth.rules.ts";

const claims = (overrides: Partial<Claims> = {}): Claims => ({
  issuer: "https://id.corp.test",
  subject: "1",
  email: "asha@corp.test",
  isEmailVerified: true,
  hostedDomain: null,
  methods: [],
  ...overrides,
});

describe("a provider's word for an address", () => {
  const google = { issuer: "https://accounts.google.com", emailDomains: [] };
  const corp = { issuer: "https://id.corp.test", emailDomains: ["corp.test"] };
  test.each<[string, Parameters<typeof isEmailTrusted>[0], Partial<Claims>, boolean]>([
    ["of its domain counts", corp, {}, true],
    ["that is not verified does not", corp, { isEmailVerified: false }, false],
    ["of another domain does not", corp, { email: "asha@gmail.com" }, false],
    ["of a subdomain does not", corp, { email: "asha@x.corp.test" }, false],
    ["with two @ is of the last domain", corp, { email: '"a@corp.test"@evil.test' }, false],
    ["without an address is none", corp, { email: null }, false],
    [
      "counts everywhere if the operator says so",
      { ...corp, emailDomains: ["*"] },
      { email: "a@b.test" },
      true,
    ],
    ["of gmail.com is Google's", google, { email: "asha@gmail.com" }, true],
    ["of a Workspace domain is Google's", google, { hostedDomain: "Corp.test" }, true],
    ["of a Google account with an address elsewhere is not", google, {}, false],
    ["of another Workspace domain is not", google, { hostedDomain: "evil.test" }, false],
    ["of gmail.com is nobody else's", corp, { email: "asha@gmail.com" }, false],
  ])("%s", (_title, provider, said, expected) => {
    expect(isEmailTrusted(provider, claims(said))).toBe(expected);
  });
});

describe("a first sign-in", () => {
  const known = { isEmailTrusted: true, user: null, linksByEmail: false, invites: 0, isClaimed: false };
  const user = { isActive: true, hasPassword: true };
  test.each<[Partial<Parameters<typeof decideFirstSignIn>[0]>, string]>([
    [{}, "NO_ACCOUNT"],
    [{ invites: 1 }, "accept_invite"],
    [{ invites: 2 }, "NO_ACCOUNT"],
    [{ isClaimed: true }, "ACCOUNT_EXISTS"],
    [{ isClaimed: true, linksByEmail: true }, "ACCOUNT_EXISTS"],
    [{ isClaimed: true, invites: 1 }, "accept_invite"],
    [{ user }, "ACCOUNT_EXISTS"],
    [{ user, linksByEmail: true }, "link"],
    [{ user: { ...user, hasPassword: false } }, "link"],
    [{ user: { ...user, isActive: false }, linksByEmail: true }, "ACCOUNT_NOT_ACTIVE"],
    [{ user, linksByEmail: true, isEmailTrusted: false }, "EMAIL_NOT_VERIFIED"],
    [{ invites: 1, isEmailTrusted: false }, "EMAIL_NOT_VERIFIED"],
  ])("of %j: %s", (overrides, decision) => {
    expect(decideFirstSignIn({ ...known, ...overrides })).toBe(decision);
  });
});

test("a provider's second factor counts only where the operator says so", () => {
  const [provider] = oidcProviders.parse(JSON.stringify([{ ...setting, isMfaTrusted: true }]));
  if (!provider) throw new Error("no provider");
  expect(isSecondFactorDone(provider, claims({ methods: ["pwd", "mfa"] }))).toBe(true);
  expect(isSecondFactorDone(provider, claims({ methods: ["pwd", "otp"] }))).toBe(false);
  expect(isSecondFactorDone({ ...provider, isMfaTrusted: false }, claims({ methods: ["mfa"] }))).toBe(false);
});

test.each([
  ["https://app.test/done?x=1", true],
  ["https://app.test.evil.test/", false],
  ["https://app.test@evil.test/", false],
  ["https://user:secret@app.test/", false],
  ["https://app.test/#part", false],
  ["http://app.test/", false],
  ["https://app.test:444/", false],
  ["javascript:alert(1)", false],
  ["/done", false],
])("a sign-in that returns to %s is allowed: %s", (redirect, expected) => {
  expect(allowedRedirect(redirect, ["https://app.test"]) !== null).toBe(expected);
});

const setting = {
  key: "corp",
  issuer: "https://id.corp.test",
  clientId: "c",
  clientSecret: "s3cret",
  label: "C",
};
test.each<[string, string]>([
  ["s3cret is no JSON", "JSON array"],
  [JSON.stringify([{ ...setting, issuer: "http://id.corp.test" }]), "https"],
  [JSON.stringify([{ ...setting, key: "../corp" }]), "pattern"],
  [JSON.stringify([setting, setting]), "every key must be another"],
  [JSON.stringify([{ ...setting, clientSecret: undefined }]), "clientSecret"],
  [JSON.stringify([{ ...setting, unknown: "s3cret" }]), "unknown"],
])("OIDC_PROVIDERS %# is refused without telling what it holds", (text, words) => {
  const { error } = oidcProviders.safeParse(text);
  expect(error?.message).toContain(words);
  expect(error?.message).not.toContain("s3cret");
});
