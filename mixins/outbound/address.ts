import { isIP } from "node:net";
import ipaddr from "ipaddr.js";

/** All of IPv6 that is given out to the public; what embeds IPv4 outside of it (::/96, NAT64) is out at once. */
const globalUnicast = ipaddr.IPv6.parseCIDR("2000::/3");
/** Azure's platform answers machines there, though the address is a public one. */
const platformAddresses = new Set(["168.63.129.16"]);

/**
 * Whether an address, as a resolver or a socket writes it, is one of the public Internet: not loopback, private,
 * link-local, shared (CGNAT), multicast, broadcast, reserved, of a cloud's metadata, nor an IPv6 form that carries
 * an IPv4 address (mapped, compatible, 6to4, Teredo, NAT64). What is no address at all is not public.
 */
export function isPublicAddress(address: string): boolean {
  if (isIP(address) === 0 || address.includes("%") || platformAddresses.has(address)) return false;
  const parsed = ipaddr.parse(address);
  if (parsed.kind() === "ipv6" && !(parsed as ipaddr.IPv6).match(globalUnicast)) return false;
  return parsed.range() === "unicast";
}

/** What an operator allows beyond the public Internet: a network, or a host by its name. */
export type AllowEntry =
  { network: [ipaddr.IPv4 | ipaddr.IPv6, number] } | { host: string; withSubdomains: boolean };

/**
 * Reads an entry of OUTBOUND_ALLOW: `10.1.0.0/16`, `fd12::/48`, `127.0.0.1`, `hooks.corp.internal`,
 * `*.corp.internal`.
 * @returns undefined when it is none of these
 */
export function parseAllowEntry(text: string): AllowEntry | undefined {
  const entry = text.toLowerCase();
  const [address = "", prefix] = entry.split("/", 2);
  const family = isIP(address);
  if (family !== 0) {
    const bits = family === 4 ? 32 : 128;
    if (prefix !== undefined && !(/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits)) return undefined;
    return { network: [ipaddr.parse(address), prefix === undefined ? bits : Number(prefix)] };
  }
  const host = entry.replace(/^\*\./, "");
  // the last label of a name is never a number: 10.0.0 would be an address to some
  if (!/^([a-z0-9_-]{1,63}\.)*[a-z][a-z0-9-]{0,62}$/.test(host)) return undefined;
  return { host, withSubdomains: host !== entry };
}

/** Whether `address` lies in `network`; one of the other family never does. */
export function isInNetwork(address: string, network: [ipaddr.IPv4 | ipaddr.IPv6, number]): boolean {
  if (isIP(address) === 0) return false;
  const parsed = ipaddr.parse(address);
  return parsed.kind() === network[0].kind() && parsed.match(network);
}
