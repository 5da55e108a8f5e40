import { appError } from "../contract/errors.ts";

/** Why a URL is not asked. */
export type RefusalReason =
  "url" | "scheme" | "credentials" | "port" | "host" | "headers" | "downgrade" | "too_many_redirects";

const sentences: Record<RefusalReason, string> = {
  url: "It is not a valid URL.",
  scheme: "Only http and https URLs are called.",
  credentials: "A URL may not carry a user name or password.",
  port: "Only the ports 80 and 443 are called.",
  host: "Its host is not on the public Internet.",
  headers: "A header is set that only the connection may set.",
  downgrade: "It redirects from https to http.",
  too_many_redirects: "It redirects too often.",
};

/** 422. Says nothing of what a name resolves to: whoever may name URLs must not learn the inner network from it. */
export const outboundRefused = (reason: RefusalReason) =>
  appError(422, "OUTBOUND_REFUSED", `The URL is not called. ${sentences[reason]}`, { reason });

export const responseTooLarge = (maxBytes: number) =>
  appError(502, "OUTBOUND_RESPONSE_TOO_LARGE", `The answer is larger than ${maxBytes} bytes.`);
export const responseUnreadable = () =>
  appError(502, "OUTBOUND_RESPONSE_UNREADABLE", "The answer is encoded in a way that cannot be read.");
