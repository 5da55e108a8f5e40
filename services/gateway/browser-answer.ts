import type { IncomingMessage, ServerResponse } from "node:http";
import type { BrowserAnswer } from "../../mixins/contract/browser-answer.ts";

const lifetimeSeconds = 600;

/**
 * The cookie by which a sign-in that leads over another site ends in the browser it began in. Over https its name has
 * the prefix that keeps other hosts of the domain from setting it (RFC 6265bis, 4.1.3.2).
 */
export class BrowserCookie {
  readonly #name: string;
  readonly #attributes: string;

  /** @param apiUrl where browsers reach the gateway */
  constructor(apiUrl: string) {
    const isSecure = apiUrl.startsWith("https:");
    this.#name = `${isSecure ? "__Host-" : ""}sangam_sign_in`;
    this.#attributes = `Path=/; Max-Age=${lifetimeSeconds}; HttpOnly; SameSite=Lax${isSecure ? "; Secure" : ""}`;
  }

  /** The browser's key, if it sent one. */
  read({ headers }: IncomingMessage): string | undefined {
    for (const pair of headers.cookie?.split(";") ?? []) {
      const [name, value] = pair.trim().split("=");
      if (name === this.#name && value !== undefined && /^[\w-]{43}$/.test(value)) return value;
    }
    return undefined;
  }

  write(response: ServerResponse, browserKey: string): void {
    response.setHeader("Set-Cookie", `${this.#name}=${browserKey}; ${this.#attributes}`);
  }
}

/** Writes the head of what a browser gets; answers the body. */
export function answerBrowser(
  meta: { $location?: string; $responseType?: string },
  request: IncomingMessage,
  response: ServerResponse,
  { redirectTo, browserKey, body, xml }: BrowserAnswer,
  cookie: BrowserCookie,
): unknown {
  if (browserKey !== undefined) cookie.write(response, browserKey);
  if (redirectTo !== undefined) {
    // after a form, 303: a 302 would leave it to the browser whether to post it again
    response.statusCode = request.method === "GET" ? 302 : 303;
    meta.$location = redirectTo;
    return null;
  }
  if (xml !== undefined) meta.$responseType = "application/samlmetadata+xml; charset=utf-8";
  return xml ?? body;
}
