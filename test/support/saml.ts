import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { inflateRawSync } from "node:zlib";
import { SignedXml } from "xml-crypto";
import { Browser, type Page } from "./browser.ts";
import type { Client } from "./client.ts";
import type { Federation } from "./federation.ts";

const pem = readFileSync("test/fixtures/idp-certificate.pem", "utf8");
export const certificate = pem.slice(pem.indexOf("-----BEGIN CERTIFICATE"));
const strangersKey = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey.export({
  type: "pkcs8",
  format: "pem",
}) as string;
export const idpEntityId = "https://idp.corp.test/entity";
export const ssoUrl = "https://idp.corp.test/sso";

/** Has the organization sign in with the identity provider of the tests. */
export const useSaml = (admin: Client, overrides: object = {}) =>
  admin.send("PUT", "/organization/federation", {
    saml: { idpEntityId, ssoUrl, certificates: [certificate], ...overrides },
  });

/** What an identity provider puts into a response; the defaults are right. */
export interface ResponseParts {
  acsUrl: string;
  audience: string;
  requestId: string;
  nameId: string;
  recipient: string;
  destination: string;
  issuer: string;
  assertionId: string;
  status: string;
  method: string;
  /** From now, in seconds. */
  endsIn: number;
  issuedIn: number;
  attributes: string;
  /** In the place of InResponseTo of the confirmation; undefined: none. */
  confirms: string | undefined;
}

const at = (seconds: number) => new Date(Date.now() + seconds * 1000).toISOString();
const newId = () => `_${randomBytes(16).toString("hex")}`;

/** A response as an identity provider would make it, without a signature. */
export function responseOf(
  given: Pick<ResponseParts, "acsUrl" | "requestId" | "nameId"> & Partial<ResponseParts>,
): string {
  const parts: ResponseParts = {
    audience: given.acsUrl.replace(/acs$/, "metadata"),
    recipient: given.acsUrl,
    destination: given.acsUrl,
    issuer: idpEntityId,
    assertionId: newId(),
    status: "urn:oasis:names:tc:SAML:2.0:status:Success",
    method: "urn:oasis:names:tc:SAML:2.0:cm:bearer",
    endsIn: 60,
    issuedIn: 0,
    attributes: "",
    confirms: given.requestId,
    ...given,
  };
  const inResponse = parts.requestId === "" ? "" : ` InResponseTo="${parts.requestId}"`;
  const inConfirmation = parts.confirms === undefined ? "" : ` InResponseTo="${parts.confirms}"`;
  return (
    `<samlp:Response xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="${newId()}" Version="2.0" IssueInstant="${at(parts.issuedIn)}" Destination="${parts.destination}"${inResponse}>`
    + `<saml:Issuer>${parts.issuer}</saml:Issuer><samlp:Status><samlp:StatusCode Value="${parts.status}"/></samlp:Status>`
    + `<saml:Assertion ID="${parts.assertionId}" Version="2.0" IssueInstant="${at(parts.issuedIn)}"><saml:Issuer>${parts.issuer}</saml:Issuer>`
    + `<saml:Subject><saml:NameID Format="urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress">${parts.nameId}</saml:NameID>`
    + `<saml:SubjectConfirmation Method="${parts.method}"><saml:SubjectConfirmationData Recipient="${parts.recipient}" NotOnOrAfter="${at(parts.endsIn)}"${inConfirmation}/></saml:SubjectConfirmation></saml:Subject>`
    + `<saml:Conditions NotBefore="${at(parts.issuedIn - 5)}" NotOnOrAfter="${at(parts.endsIn)}"><saml:AudienceRestriction><saml:Audience>${parts.audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>`
    + `<saml:AuthnStatement AuthnInstant="${at(parts.issuedIn)}"><saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement>`
    + `${parts.attributes}</saml:Assertion></samlp:Response>`
  );
}

/** Signs the assertion, or the whole response, as the identity provider; or as a stranger. */
export function sign(
  xml: string,
  {
    part = "Assertion",
    isStranger = false,
    hash = "sha256",
    c14n = "http://www.w3.org/2001/10/xml-exc-c14n#",
  }: { part?: "Assertion" | "Response"; isStranger?: boolean; hash?: "sha1" | "sha256"; c14n?: string } = {},
): string {
  const isSha1 = hash === "sha1";
  const signer = new SignedXml({
    privateKey: isStranger ? strangersKey : pem.slice(0, pem.indexOf("-----BEGIN CERTIFICATE")),
    signatureAlgorithm: isSha1
      ? "http://www.w3.org/2000/09/xmldsig#rsa-sha1"
      : "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
    canonicalizationAlgorithm: c14n,
  });
  const path = `//*[local-name(.)='${part}']`;
  signer.addReference({
    xpath: path,
    transforms: ["http://www.w3.org/2000/09/xmldsig#enveloped-signature", c14n],
    digestAlgorithm: isSha1
      ? "http://www.w3.org/2000/09/xmldsig#sha1"
      : "http://www.w3.org/2001/04/xmlenc#sha256",
  });
  signer.computeSignature(xml, {
    prefix: "ds",
    location: { reference: `${path}/*[local-name(.)='Issuer']`, action: "after" },
  });
  return signer.getSignedXml();
}

/** A sign-in that a browser has begun with the organization's identity provider. */
export interface Begun {
  browser: Browser;
  acsUrl: string;
  requestId: string;
  /** Posts a response as the form of the identity provider does. */
  post(xml: string, options?: { browser?: Browser; until?: string; to?: string }): Promise<Page>;
}

export async function begin({ api }: Federation, organizationId: string, query = ""): Promise<Begun> {
  const browser = new Browser();
  const base = `${api}/auth/saml/${organizationId}`;
  const { url } = await browser.open(`${base}/start${query}`, { until: ssoUrl });
  const deflated = Buffer.from(new URL(url).searchParams.get("SAMLRequest") ?? "", "base64");
  const requestId = / ID="([^"]+)"/.exec(inflateRawSync(deflated).toString())?.[1] ?? "";
  const acsUrl = `${base}/acs`;
  return {
    ...{ browser, acsUrl, requestId },
    post: (xml, { browser: by = browser, until, to = acsUrl } = {}) =>
      by.open(to, {
        ...(until === undefined ? {} : { until }),
        init: {
          method: "POST",
          body: new URLSearchParams({ SAMLResponse: Buffer.from(xml).toString("base64"), RelayState: "" }),
        },
      }),
  };
}
