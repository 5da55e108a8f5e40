import type { IncomingMessage } from "node:http";
import { isIP } from "node:net";

/** An address as a proxy writes it: `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`. */
const written = /^(?:\[([^\]]+)\]|([^:]+))(?::\d+)?$/;

/**
 * The address a request comes from.
 * @param trustProxy whether the last entry of X-Forwarded-For is that of the proxy in front; one that is no address is none
 */
export function clientAddressOf({ headers, socket }: IncomingMessage, trustProxy: boolean): string {
  const own = socket.remoteAddress ?? "";
  if (!trustProxy) return own;
  const entry = String(headers["x-forwarded-for"] ?? "")
    .split(",")
    .at(-1)
    ?.trim() as string;
  if (isIP(entry) !== 0) return entry;
  const [, six, four] = written.exec(entry) ?? [];
  const address = six ?? four ?? "";
  return isIP(address) === 0 ? own : address;
}
