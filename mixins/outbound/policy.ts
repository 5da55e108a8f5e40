import { isIP } from "node:net";
import { isInNetwork, isPublicAddress, parseAllowEntry, type AllowEntry } from "./address.ts";
import { outboundRefused } from "./outbound.errors.ts";

const usualPorts = new Set([80, 443]);
const longestUrl = 2_048;
/** Top-level names that no public resolver serves (RFC 6761, 6762, 8375, ICANN's .internal). */
const innerNames = ["localhost", "localdomain", "local", "internal", "home.arpa", "onion"];

/**
 * Which URLs Sangam calls on behalf of those who may name one: http and https on ports 80 and 443 of the public
 * Internet, and what the operator allows beyond it, on any port.
 */
export class OutboundPolicy {
  readonly #allowed: readonly AllowEntry[];

  /** @param allow entries of OUTBOUND_ALLOW @throws Error for one that `parseAllowEntry` cannot read */
  constructor(allow: readonly string[] = []) {
    this.#allowed = allow.map((text) => {
      const entry = parseAllowEntry(text);
      if (!entry) throw new Error(`OUTBOUND_ALLOW: ${text} is no address, network or host name`);
      return entry;
    });
  }

  /**
   * Checks what can be known of a URL before its name is resolved; `isPermitted` must then hold for each address.
   * @returns the URL in the one form that is called: WHATWG parsing turns decimal, octal, hex and short IPv4 forms
   *   and look-alike characters into what they mean
   * @throws 422 OUTBOUND_REFUSED with `reason`
   */
  parse(text: string): URL {
    const url = text.length <= longestUrl ? URL.parse(text) : null;
    if (!url) throw outboundRefused("url");
    if (url.protocol !== "http:" && url.protocol !== "https:") throw outboundRefused("scheme");
    if (url.username !== "" || url.password !== "") throw outboundRefused("credentials");
    const host = bareHost(url.hostname);
    const port = portOf(url);
    if (isIP(host) === 0) {
      if (!this.#isAllowedHost(host) && !isPublicName(host)) throw outboundRefused("host");
      const mayBeAllowed = this.#isAllowedHost(host) || this.#allowed.some((entry) => "network" in entry);
      if (!usualPorts.has(port) && !mayBeAllowed) throw outboundRefused("port");
    } else if (!this.isPermitted(host, port, host)) {
      throw outboundRefused(this.isPermitted(host, 443, host) ? "port" : "host");
    }
    return url;
  }

  /** Whether a connection for `host` may go to this address and port. */
  isPermitted(host: string, port: number, address: string): boolean {
    if (this.#isAllowedHost(host)) return true;
    if (this.#allowed.some((entry) => "network" in entry && isInNetwork(address, entry.network))) return true;
    return usualPorts.has(port) && isPublicAddress(address);
  }

  #isAllowedHost(host: string): boolean {
    return this.#allowed.some(
      (entry) =>
        "host" in entry && (entry.withSubdomains ? host.endsWith(`.${entry.host}`) : host === entry.host),
    );
  }
}

/** A host as sockets take it: IPv6 without the brackets of a URL. */
export const bareHost = (hostname: string): string => hostname.replace(/^\[(.*)\]$/, "$1");

const portOf = (url: URL): number => Number(url.port || (url.protocol === "https:" ? 443 : 80));

/**
 * A name with a dot in it that is not an inner one. The root's trailing dot would hide `localhost.`: it is
 * refused.
 */
function isPublicName(host: string): boolean {
  if (!host.includes(".") || host.endsWith(".")) return false;
  return !innerNames.some((name) => host === name || host.endsWith(`.${name}`));
}
