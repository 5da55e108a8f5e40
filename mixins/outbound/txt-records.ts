import { NODATA, NOTFOUND, Resolver } from "node:dns/promises";
import { Semaphore } from "../concurrency/semaphore.ts";
import { appError } from "../contract/errors.ts";

const timeoutMs = 3_000;

/** Asks name servers for TXT records of names that users give: each question once, for 3 s, ten at a time. */
export class TxtRecords {
  readonly #resolver = new Resolver({ timeout: timeoutMs, tries: 1 });
  readonly #turns = new Semaphore({ atOnce: 10, mostWaiting: 100 });

  /** @param servers addresses, with a port or without; default the system's */
  constructor(servers: readonly string[] | undefined) {
    if (servers) this.#resolver.setServers(servers);
  }

  /**
   * The texts of a name, the parts of each joined; none where there is no such name.
   * @throws 503 DNS_UNAVAILABLE when no server answers, or its answer is a failure; 503 SERVER_BUSY
   */
  of(name: string): Promise<string[]> {
    return this.#turns.run(async () => {
      try {
        return (await this.#resolver.resolveTxt(name)).map((parts) => parts.join(""));
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === NOTFOUND || code === NODATA) return [];
        throw appError(503, "DNS_UNAVAILABLE", `The name servers do not tell about ${name} now; try again.`, {
          retryAfterSeconds: 30,
        });
      }
    });
  }
}
