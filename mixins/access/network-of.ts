import { isIPv6 } from "node:net";
import ipaddr from "ipaddr.js";

/** Bits of an IPv6 address that its owner was given; the others are the owner's to choose (RFC 6177). */
const givenBits = 64;

/** What stands for a client's address where it is counted: itself, or of IPv6 its /64. */
export function networkOf(address: string): string {
  if (!isIPv6(address)) return address;
  const parsed = ipaddr.IPv6.parse(address);
  if (parsed.isIPv4MappedAddress()) return parsed.toIPv4Address().toString();
  return ipaddr.IPv6.networkAddressFromCIDR(`${parsed.toNormalizedString()}/${givenBits}`).toString();
}
