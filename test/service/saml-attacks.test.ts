import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { inspect, proveEmail } from "../support/database.ts";
import { startFederation, type Federation } from "../support/federation.ts";
import { begin, responseOf, sign, useSaml, type Begun, type ResponseParts } from "../support/saml.ts";

let all: Federation;
let admin: Client;
let other: Client;
/** Whom the identity provider signed in, and whom they would rather be. */
const mine = "mallory@corp.test";
const theirs = "boss@corp.test";

beforeAll(async () => {
  all = await startFederation();
  admin = await all.visitor.register("Corp");
  await proveEmail(all.node.databases[0], admin.userId);
  other = await all.visitor.register("Other");
  for (const organization of [admin, other]) await useSaml(organization);
  const user = { name: "U", password: "correct-horse-battery" };
  await admin.post("/users", { ...user, email: mine, role: "viewer" });
  await admin.post("/users", { ...user, email: theirs, role: "admin" });
});
afterAll(() => all.stop());

const unproven = { status: 403, body: { code: "SIGN_IN_UNPROVEN" } };
const invalid = { status: 400, body: { code: "SIGN_IN_STATE_INVALID" } };
const genuine = (
  begun: Begun,
  overrides: Partial<ResponseParts> = {},
  how: Parameters<typeof sign>[1] = {},
) => sign(responseOf({ ...begun, nameId: mine, ...overrides }), how);
/** What a browser that has begun gets for this response. */
async function answerTo(attack: (begun: Begun) => string) {
  const begun = await begin(all, admin.organizationId);
  return begun.post(attack(begun));
}

test("the genuine response signs in, so that what is refused below is refused for its own sake", async () => {
  expect(await answerTo((begun) => genuine(begun))).toMatchObject({
    status: 200,
    body: { user: { email: mine } },
  });
});

describe("a signature", () => {
  test.each<[string, (begun: Begun) => string]>([
    ["that is missing", (begun) => responseOf({ ...begun, nameId: mine })],
    ["of another key", (begun) => genuine(begun, {}, { isStranger: true })],
    ["of the response alone", (begun) => genuine(begun, {}, { part: "Response" })],
    ["with SHA-1", (begun) => genuine(begun, {}, { hash: "sha1" })],
    [
      "that keeps comments",
      (begun) => genuine(begun, {}, { c14n: "http://www.w3.org/2001/10/xml-exc-c14n#WithComments" }),
    ],
    ["whose assertion was changed", (begun) => genuine(begun).replace(mine, theirs)],
    ["whose value was changed", (begun) => genuine(begun).replace(/(<ds:SignatureValue>)..../, "$1AAAA")],
    ["whose digest was changed", (begun) => genuine(begun).replace(/(<ds:DigestValue>)..../, "$1AAAA")],
    ["without the reference", (begun) => genuine(begun).replace(/<ds:Reference .*<\/ds:Reference>/, "")],
    ["of an empty reference", (begun) => genuine(begun).replace(/(<ds:Reference URI=")[^"]+/, "$1")],
    ["twice", (begun) => genuine(begun).replace(/<ds:Signature .*<\/ds:Signature>/, "$&$&")],
    [
      "keyed with the certificate (HMAC)",
      (begun) =>
        genuine(begun).replace(
          "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
          "http://www.w3.org/2000/09/xmldsig#hmac-sha1",
        ),
    ],
    [
      "over a part that a transform selects",
      (begun) =>
        genuine(begun).replace(
          "http://www.w3.org/2001/10/xml-exc-c14n#",
          "http://www.w3.org/TR/1999/REC-xpath-19991116",
        ),
    ],
  ])("%s is refused", async (_title, attack) => {
    expect(await answerTo(attack)).toMatchObject(unproven);
  });
});

/** Signature wrapping: the genuine assertion is kept where it satisfies the signature, another one is to be read. */
describe("a signature wrapped", () => {
  const cut = (xml: string) => {
    const assertion = /<saml:Assertion .*<\/saml:Assertion>/.exec(xml)?.[0] ?? "";
    const signature = /<ds:Signature .*<\/ds:Signature>/.exec(assertion)?.[0] ?? "";
    const bare = assertion.replace(signature, "");
    const forged = (keptId = false) =>
      (keptId ? bare : bare.replace(/ ID="[^"]+"/, ' ID="_forged"')).replace(mine, theirs);
    const put = (inside: string) => xml.replace(assertion, inside);
    return { assertion, signature, bare, forged, put };
  };
  const within = (forged: string, part: string) =>
    forged.replace("</saml:Assertion>", `${part}</saml:Assertion>`);
  const afterIssuer = (forged: string, part: string) => forged.replace("</saml:Issuer>", `$&${part}`);
  const withObject = (signature: string, part: string) =>
    signature.replace("</ds:Signature>", `<ds:Object>${part}</ds:Object></ds:Signature>`);

  test.each<[string, (parts: ReturnType<typeof cut>) => string]>([
    ["a forged assertion before it", ({ forged, assertion, put }) => put(forged() + assertion)],
    ["a forged assertion after it", ({ forged, assertion, put }) => put(assertion + forged())],
    ["a forged assertion of the same id", ({ forged, assertion, put }) => put(forged(true) + assertion)],
    ["inside a forged assertion", ({ forged, assertion, put }) => put(within(forged(), assertion))],
    [
      "beside a forged assertion that has its signature",
      ({ forged, signature, bare, put }) => put(afterIssuer(forged(), signature) + bare),
    ],
    [
      "in the signature of a forged assertion",
      ({ forged, signature, bare, put }) => put(afterIssuer(forged(), withObject(signature, bare))),
    ],
    [
      "in the signature of a forged assertion of the same id",
      ({ forged, signature, bare, put }) => put(afterIssuer(forged(true), withObject(signature, bare))),
    ],
    [
      "in the extensions, before a forged assertion",
      ({ forged, assertion, put }) => put(`<samlp:Extensions>${assertion}</samlp:Extensions>${forged()}`),
    ],
    [
      "in extensions that are no SAML, under another name",
      ({ forged, signature, bare, put }) => {
        const renamed = bare.replaceAll("saml:Assertion", "saml:Evidence");
        return put(`<samlp:Extensions>${renamed}</samlp:Extensions>${afterIssuer(forged(), signature)}`);
      },
    ],
    [
      "around the subject alone",
      ({ assertion, put }) =>
        put(
          assertion.replace(
            /<saml:Subject>.*<\/saml:Subject>/,
            (subject) => subject.replace(mine, theirs) + subject,
          ),
        ),
    ],
  ])("%s is refused", async (_title, attack) => {
    expect(await answerTo((begun) => attack(cut(genuine(begun))))).toMatchObject(unproven);
  });

  test.each<[string, (signed: string) => string]>([
    [
      "in the signature of a forged response",
      (signed) => {
        const signature = /<ds:Signature .*?<\/ds:Signature>/.exec(signed)?.[0] ?? "";
        const bare = signed.replace(signature, "");
        const forged = bare.replace(/ ID="[^"]+"/, ' ID="_forged"').replace(mine, theirs);
        return forged.replace("</saml:Issuer>", `$&${withObject(signature, bare)}`);
      },
    ],
    [
      "in an element of a forged response",
      (signed) => {
        const forged = signed
          .replace(/<ds:Signature .*?<\/ds:Signature>/, "")
          .replace(/ ID="[^"]+"/, ' ID="_forged"')
          .replace(mine, theirs);
        return forged.replace(
          "</samlp:Response>",
          `<samlp:Extensions>${signed}</samlp:Extensions></samlp:Response>`,
        );
      },
    ],
  ])("response %s is refused", async (_title, attack) => {
    expect(await answerTo((begun) => attack(genuine(begun, {}, { part: "Response" })))).toMatchObject(
      unproven,
    );
  });
});

describe("a genuine assertion", () => {
  const elsewhere = "https://elsewhere.test/acs";
  test.each<[string, Partial<ResponseParts>]>([
    ["that has ended", { endsIn: -60 }],
    ["that is not valid yet", { issuedIn: 120, endsIn: 180 }],
    ["that was issued long ago, whatever it says of its end", { issuedIn: -3_600, endsIn: 60 }],
    ["for another audience", { audience: "https://elsewhere.test/metadata" }],
    ["for another recipient", { recipient: elsewhere }],
    ["sent to another destination", { destination: elsewhere }],
    ["of another identity provider", { issuer: "https://elsewhere.test/entity" }],
    ["that confirms another request", { confirms: "_another" }],
    ["that confirms no request", { confirms: undefined }],
    ["that is confirmed by holding a key", { method: "urn:oasis:names:tc:SAML:2.0:cm:holder-of-key" }],
    ["with a failure", { status: "urn:oasis:names:tc:SAML:2.0:status:Responder" }],
    ["without an address", { nameId: "opaque" }],
    ["with an empty name", { nameId: "" }],
  ])("%s is refused", async (_title, overrides) => {
    expect(await answerTo((begun) => genuine(begun, overrides))).toMatchObject(unproven);
  });

  test("that nobody asked for, or for a request that was invented, is refused", async () => {
    expect(await answerTo((begun) => genuine(begun, { requestId: "", confirms: undefined }))).toMatchObject(
      unproven,
    );
    expect(
      await answerTo((begun) => genuine(begun, { requestId: "_invented", confirms: "_invented" })),
    ).toMatchObject(invalid);
  });

  test("is refused the second time, alone and in a race", async () => {
    const begun = await begin(all, admin.organizationId);
    const xml = genuine(begun);
    const pages = await Promise.all(Array.from({ length: 5 }, () => begun.post(xml)));
    expect(pages.filter(({ status }) => status === 200)).toHaveLength(1);
    expect(await begun.post(xml)).toMatchObject(invalid);
  });

  test("is refused for another request, although it says it is for that", async () => {
    const assertionId = "_the-same";
    const attempt = () => answerTo((begun) => genuine(begun, { assertionId }));
    expect(await attempt()).toMatchObject({ status: 200 });
    expect(await attempt()).toMatchObject(unproven);
  });

  test("is refused ten minutes after its request", async () => {
    const begun = await begin(all, admin.organizationId);
    await inspect(all.node.databases[0] ?? "", "UPDATE control.sign_in_attempts SET expires_at = now()");
    expect(await begun.post(genuine(begun))).toMatchObject(invalid);
  });

  test("of one organization is worth nothing at another, with the same identity provider", async () => {
    const begun = await begin(all, admin.organizationId);
    const to = begun.acsUrl.replace(admin.organizationId, other.organizationId);
    expect(await begun.post(genuine(begun), { to })).toMatchObject(unproven);
    // made for the other, in response to a request of the first
    const audience = to.replace(/acs$/, "metadata");
    const forOther = genuine(begun, { audience, recipient: to, destination: to });
    expect(await begun.post(forOther, { to })).toMatchObject(invalid);
    expect(await begun.post(genuine(begun))).toMatchObject({ status: 200 });
  });
});

describe("XML", () => {
  test.each<[string, (begun: Begun) => string]>([
    [
      "with a comment in the name, put there after it was signed",
      (begun) =>
        genuine(begun, { nameId: `${theirs}.evil.test` }).replace(`${theirs}.`, `${theirs}<!-- -->.`),
    ],
    [
      "with a comment in the name that was signed",
      (begun) => genuine(begun, { nameId: `${theirs}<!-- -->.evil.test` }),
    ],
    ["with CDATA", (begun) => genuine(begun, { nameId: `<![CDATA[${theirs}]]>` })],
    [
      "with a processing instruction",
      (begun) => genuine(begun).replace("<saml:Issuer>", "<?php ?><saml:Issuer>"),
    ],
    ["with a DTD", (begun) => `<!DOCTYPE Response>${genuine(begun)}`],
    [
      "with an entity that reads a file",
      (begun) =>
        `<!DOCTYPE r [<!ENTITY x SYSTEM "file:///etc/passwd">]>${genuine(begun).replace(mine, "&x;")}`,
    ],
    [
      "with entities that grow",
      (begun) => {
        const entities = Array.from({ length: 9 }, (_, n) => `<!ENTITY l${n + 1} "${`&l${n};`.repeat(10)}">`);
        return `<!DOCTYPE r [<!ENTITY l0 "lol">${entities.join("")}]>${genuine(begun).replace(mine, "&l9;")}`;
      },
    ],
    ["with an entity nobody declared", (begun) => genuine(begun).replace(mine, "&nosuch;")],
    ["that is not well-formed", (begun) => genuine(begun).replace("</saml:Subject>", "")],
    ["of something else", () => "<html/>"],
    ["that is none", () => "rubbish"],
    ["after other XML", (begun) => `<a/>${genuine(begun)}`],
    ["deeper than anybody needs", () => "<a>".repeat(45_000)],
    ["of nothing but tags", () => "<".repeat(140_000)],
    ["with an element of many attributes", () => `<a ${"b ".repeat(70_000)}/>`],
    [
      "as deep as it may be, around a genuine response",
      (begun) =>
        genuine(begun).replace(
          /<saml:Assertion.*<\/saml:Assertion>/,
          (all) => `${"<a>".repeat(900)}${all}${"</a>".repeat(900)}`,
        ),
    ],
  ])("%s is refused, within a second", async (_title, attack) => {
    const start = performance.now();
    expect(await answerTo(attack)).toMatchObject(unproven);
    expect(performance.now() - start).toBeLessThan(1_000);
  });
});
