import { createHash } from "node:crypto";
import { SAML, ValidateInResponseTo, type SamlConfig } from "@node-saml/node-saml";
import * as library from "@node-saml/node-saml/lib/xml.js";
import { z } from "zod";
import type { SamlSettings } from "./federation-settings.contract.ts";

/** By how much clocks may differ. */
const skewMs = 30_000;
const longestMs = 10 * 60_000;
/** Both far beyond any real response: anybody may send one, and parsing takes the square of them. */
const mostTags = 2_000;
const longestTag = 16_000;
const bearer = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const success = "urn:oasis:names:tc:SAML:2.0:status:Success";
const emailFormat = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress";
/** What may sign, hash and transform; SHA-1 and everything that selects or rewrites parts is out. */
const algorithms = new Set([
  "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256",
  "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512",
  "http://www.w3.org/2001/04/xmlenc#sha256",
  "http://www.w3.org/2001/04/xmlenc#sha512",
  "http://www.w3.org/2000/09/xmldsig#enveloped-signature",
  "http://www.w3.org/2001/10/xml-exc-c14n#",
]);

// the library's types name the DOM's, which are not those of a server
const { parseDomFromString, xpath } = library as unknown as {
  parseDomFromString: (xml: string) => Promise<unknown>;
  xpath: Record<"selectAttributes" | "selectElements", (node: unknown, path: string) => { value: string }[]>;
};

/** Our side of SAML with one organization. */
export interface ServiceProvider {
  entityId: string;
  /** Where responses are posted. */
  acsUrl: string;
  /** Where an accepted one leads. */
  finishUrl: string;
}

export function serviceProviderOf(apiUrl: string, organizationId: string): ServiceProvider {
  const base = `${apiUrl}/api/v1/auth/saml/${organizationId}`;
  return { entityId: `${base}/metadata`, acsUrl: `${base}/acs`, finishUrl: `${base}/finish` };
}

/** A signed assertion that passed every check. */
export interface Assertion {
  /** SHA-256 of issuer and id: whoever brings it again is a thief. */
  hash: string;
  /** Until it could be brought again. */
  endsAt: Date;
  /** Lowercased. */
  email: string;
}

/** @param requests knows the requests that wait for a response; default none */
function samlOf(
  { entityId, acsUrl }: ServiceProvider,
  settings: Pick<SamlSettings, "ssoUrl" | "certificates" | "emailAttribute">,
  options: Partial<SamlConfig> = {},
): SAML {
  return new SAML({
    issuer: entityId,
    audience: entityId,
    callbackUrl: acsUrl,
    entryPoint: settings.ssoUrl,
    idpCert: settings.certificates,
    identifierFormat: settings.emailAttribute === null ? emailFormat : null,
    disableRequestedAuthnContext: true,
    wantAssertionsSigned: true,
    wantAuthnResponseSigned: false,
    validateInResponseTo: ValidateInResponseTo.always,
    acceptedClockSkewMs: skewMs,
    maxAssertionAgeMs: longestMs,
    requestIdExpirationPeriodMs: longestMs,
    ...options,
  });
}

/** What an identity provider is told of us; it needs no setting of the organization's. */
export const metadataOf = (provider: ServiceProvider): string =>
  samlOf(provider, {
    ssoUrl: "",
    certificates: ["unused"],
    emailAttribute: null,
  }).generateServiceProviderMetadata(null);

/** Where the browser goes with a request of this id. */
export const requestUrl = (provider: ServiceProvider, settings: SamlSettings, id: string): Promise<string> =>
  samlOf(provider, settings, {
    generateUniqueId: () => id,
    cacheProvider: requestsOf(() => Promise.resolve(true)),
  }).getAuthorizeUrlAsync("", undefined, {});

/**
 * Checks a response (SAML 2.0 Profiles 4.1.4.3) and answers its assertion.
 * @param isAwaited whether a request of this id waits for its response; asked once
 * @throws Error naming the check that failed: for the log, not for who sent it
 */
export async function checkResponse(
  encoded: string,
  provider: ServiceProvider,
  settings: SamlSettings,
  isAwaited: (requestId: string) => Promise<boolean>,
): Promise<Assertion> {
  const xml = Buffer.from(encoded, "base64").toString("utf8");
  // no DTD, entity, comment or CDATA: nothing that parsers read in two ways
  if (xml.includes("<!") || xml.lastIndexOf("<?") > 0)
    throw new Error("It holds more than elements and text");
  const tags = xml.split("<");
  if (tags.length > mostTags || tags.some(({ length }) => length > longestTag))
    throw new Error("It has too many elements, or too long ones");
  const { requestId } = await checkEnvelope(xml, provider);
  const known = new Map<string, Promise<boolean>>();
  const requests = requestsOf((id) => {
    const asked = known.get(id) ?? isAwaited(id);
    known.set(id, asked);
    return asked;
  });
  const saml = samlOf(provider, settings, { cacheProvider: requests });
  const { profile } = await saml.validatePostResponseAsync({ SAMLResponse: encoded });
  // of what was signed, and nothing else
  const { Assertion: assertion } = signedAssertion.parse(profile?.getAssertion?.());
  if (assertion.Issuer[0]._ !== settings.idpEntityId) throw new Error("It was issued by another provider");
  const [subject] = assertion.Subject;
  const confirmation = subject.SubjectConfirmation.find(({ $, SubjectConfirmationData: [{ $: told }] }) => {
    const isLive = Date.parse(told.NotOnOrAfter) > Date.now() - skewMs;
    return (
      $.Method === bearer && told.Recipient === provider.acsUrl && told.InResponseTo === requestId && isLive
    );
  });
  if (!confirmation) throw new Error("No bearer confirmation is for us, now, in response to this request");
  const said =
    settings.emailAttribute === null
      ? subject.NameID[0]._
      : (profile?.attributes as Record<string, unknown> | undefined)?.[settings.emailAttribute];
  return {
    hash: createHash("sha256").update(`${settings.idpEntityId}\n${assertion.$.ID}`).digest("hex"),
    endsAt: new Date(Date.now() + longestMs + 2 * skewMs),
    email: address.parse(said),
  };
}

/** What can be known before a signature is: of one shape only, for us, and with strong algorithms. */
async function checkEnvelope(xml: string, { acsUrl }: ServiceProvider): Promise<{ requestId: string }> {
  const dom = await parseDomFromString(xml);
  const one = (path: string): string => {
    const [found, ...others] = xpath.selectAttributes(dom, path);
    if (!found || others.length > 0) throw new Error(`There must be one ${path}`);
    return found.value;
  };
  for (const name of ["Response", "Assertion"])
    if (xpath.selectElements(dom, `//*[local-name()='${name}']`).length !== 1)
      throw new Error(`There must be one ${name}`);
  for (const { value } of xpath.selectAttributes(dom, "//@Algorithm"))
    if (!algorithms.has(value)) throw new Error(`It uses ${value}`);
  if (one("/*[local-name()='Response']/@Destination") !== acsUrl)
    throw new Error("It was sent to another address");
  if (
    one("/*[local-name()='Response']/*[local-name()='Status']/*[local-name()='StatusCode']/@Value")
    !== success
  )
    throw new Error("The provider did not sign anybody in");
  return { requestId: one("/*[local-name()='Response']/@InResponseTo") };
}

/** Requests as the library asks for them: a time for one that waits. */
const requestsOf = (isAwaited: (id: string) => Promise<boolean>) => ({
  saveAsync: (): Promise<null> => Promise.resolve(null),
  getAsync: async (id: string): Promise<string | null> =>
    (await isAwaited(id)) ? new Date().toISOString() : null,
  removeAsync: (): Promise<null> => Promise.resolve(null),
});

const exactlyOne = <T extends z.ZodType>(item: T) => z.tuple([item]);
const address = z.string().trim().toLowerCase().max(254).pipe(z.email());
/** The parts that are asked for here, as xml2js makes them. */
const signedAssertion = z.object({
  Assertion: z.object({
    $: z.object({ ID: z.string().min(1).max(500) }),
    Issuer: exactlyOne(z.object({ _: z.string() })),
    Subject: exactlyOne(
      z.object({
        NameID: exactlyOne(z.object({ _: z.string() })),
        SubjectConfirmation: z
          .array(
            z.object({
              $: z.object({ Method: z.string() }),
              SubjectConfirmationData: exactlyOne(
                z.object({
                  $: z.object({
                    Recipient: z.string(),
                    InResponseTo: z.string(),
                    NotOnOrAfter: z.iso.datetime({ offset: true }),
                  }),
                }),
              ),
            }),
          )
          .min(1),
      }),
    ),
    Conditions: exactlyOne(z.object({ $: z.object({ NotOnOrAfter: z.iso.datetime({ offset: true }) }) })),
    AuthnStatement: z.array(z.unknown()).min(1),
  }),
});
