import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { appError, conflict, unauthorized } from "../contract/errors.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";

/** How far a signed timestamp may lie from now, in either direction. */
const windowSeconds = 300;
const secretPrefix = "whsec_";

/** Headers as Node gives them: names in lower case. */
export type Headers = Readonly<Record<string, string | string[] | undefined>>;

/**
 * Checks a signature over a raw body as Meta makes it: `X-Hub-Signature-256: sha256=<hex of HMAC-SHA256>`.
 * Nothing in it says when it was made: keep the ids in the body by `acceptOnce`.
 * @param header value of the header
 * @param body the bytes as they came, before any parsing
 * @param secrets all that are valid now: while one is replaced, both
 * @throws 401 SIGNATURE_MISSING, SIGNATURE_INVALID
 */
export function verifyBodySignature(
  header: string | string[] | undefined,
  body: Buffer,
  secrets: readonly string[],
): void {
  const expected = secrets.map((secret) => {
    if (secret === "") throw new Error("A secret is empty: everybody could sign with it");
    return `sha256=${createHmac("sha256", secret).update(body).digest("hex")}`;
  });
  if (typeof header !== "string" || header === "") throw signatureMissing();
  if (!matchesAny([header], expected)) throw signatureInvalid();
}

/**
 * Checks a request that is signed by the Standard Webhooks specification (webhook-id, -timestamp, -signature).
 * Equal to the package `standardwebhooks`, which can neither be told the time nor sign bytes that are not UTF-8.
 * @param body the bytes as they came, before any parsing
 * @param secrets `whsec_` and base64, all that are valid now: while one is replaced, both
 * @returns the id, for `acceptOnce`, and when it was sent
 * @throws 401 SIGNATURE_MISSING, SIGNATURE_INVALID, SIGNATURE_EXPIRED (more than 5 minutes off)
 */
export function verifyWebhook(
  headers: Headers,
  body: Buffer,
  { secrets, now }: { secrets: readonly string[]; now: Date },
): { id: string; sentAt: Date } {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature } = headers;
  if (!isText(id) || !isText(timestamp) || !isText(signature)) throw signatureMissing();
  // a dot in the id could be moved into the timestamp, and make another id of the same signature
  if (!/^[\x21-\x2d\x2f-\x7e]{1,255}$/.test(id) || !/^\d{1,12}$/.test(timestamp)) throw signatureInvalid();
  const expected = secrets.map((secret) => webhookSignature(secret, id, timestamp, body));
  if (!matchesAny(signature.split(" ", 10), expected)) throw signatureInvalid();
  const sentAt = Number(timestamp);
  if (Math.abs(Math.floor(now.getTime() / 1000) - sentAt) > windowSeconds) throw signatureExpired();
  return { id, sentAt: new Date(sentAt * 1000) };
}

/**
 * Headers that sign an outbound request by the Standard Webhooks specification.
 * @param request.id the same for each attempt to deliver the same message, without a dot
 * @param request.secrets while one is replaced, both: the receiver may know either
 */
export function signWebhook(
  body: string | Buffer,
  request: { id: string; secrets: readonly string[]; now: Date },
): { "webhook-id": string; "webhook-timestamp": string; "webhook-signature": string } {
  const { id, secrets, now } = request;
  if (!/^[\w-]{1,255}$/.test(id)) throw new Error(`The id ${id} may hold letters, digits, _ and - only`);
  const timestamp = String(Math.floor(now.getTime() / 1000));
  return {
    "webhook-id": id,
    "webhook-timestamp": timestamp,
    "webhook-signature": secrets
      .map((secret) => webhookSignature(secret, id, timestamp, Buffer.from(body)))
      .join(" "),
  };
}

/** A new secret for Standard Webhooks: 32 random bytes. */
export const newWebhookSecret = (): string => secretPrefix + randomBytes(32).toString("base64");

/**
 * Remembers, in the caller's transaction, that the message `id` of `source` was received: of any number of
 * transactions with the same one, at once or within 24 hours, only one commits. The others wait for it, and go on
 * only if it is undone.
 * @param source who numbers its messages itself: `channel:<id>`
 * @throws 409 ALREADY_RECEIVED, which says to the sender that it need not send again
 */
export async function acceptOnce(tx: UnitOfWork, source: string, id: string): Promise<void> {
  const inserted = await tx.execute({
    name: "insert_received_id",
    text: `INSERT INTO received_ids (organization_id, source, id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
    values: [tx.organizationId, source, id],
  });
  if (inserted === 0) throw conflict("ALREADY_RECEIVED", "This message was received before.");
}

/**
 * In: a platform transaction. Forgets ids received more than 24 hours ago: what they signed has expired long since.
 * @param most ids deleted at once
 * @returns how many were deleted; call again while it is `most`
 */
export const forgetReceivedIds = (tx: UnitOfWork, most: number): Promise<number> =>
  tx.execute({
    name: "forget_received_ids",
    text: `DELETE FROM received_ids r USING (
        SELECT organization_id, source, id FROM received_ids WHERE received_at <= now() - interval '24 hours'
        ORDER BY received_at LIMIT $1 FOR UPDATE SKIP LOCKED) old
      WHERE (r.organization_id, r.source, r.id) = (old.organization_id, old.source, old.id)`,
    values: [most],
  });

const signatureMissing = () => unauthorized("SIGNATURE_MISSING", "The request is not signed.");
const signatureInvalid = () => unauthorized("SIGNATURE_INVALID", "The signature is not valid.");
const signatureExpired = () =>
  appError(401, "SIGNATURE_EXPIRED", "The request was signed more than 5 minutes ago, or ahead of time.");

const isText = (value: string | string[] | undefined): value is string =>
  typeof value === "string" && value !== "";

function webhookSignature(secret: string, id: string, timestamp: string, body: Buffer): string {
  const signature = createHmac("sha256", webhookKey(secret)).update(`${id}.${timestamp}.`).update(body);
  return `v1,${signature.digest("base64")}`;
}

function webhookKey(secret: string): Buffer {
  const text = secret.startsWith(secretPrefix) ? secret.slice(secretPrefix.length) : secret;
  const key = Buffer.from(text, "base64");
  // Buffer skips what is not base64: a secret that was pasted wrongly must not become a short key
  if (key.length < 16 || key.toString("base64").replace(/=+$/, "") !== text.replace(/=+$/, ""))
    throw new Error(`A webhook secret is ${secretPrefix} and at least 16 bytes in base64`);
  return key;
}

/** Compares each with each, in a time that depends on their lengths and numbers alone. */
function matchesAny(given: readonly string[], expected: readonly string[]): boolean {
  let isEqual = false;
  for (const candidate of given.map((text) => Buffer.from(text)))
    for (const wanted of expected.map((text) => Buffer.from(text)))
      if (candidate.length === wanted.length && timingSafeEqual(candidate, wanted)) isEqual = true;
  return isEqual;
}
