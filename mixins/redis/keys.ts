/**
 * The name of every key in Redis. What stands in braces decides the slot (Redis Cluster specification, "hash tags"):
 * it is the smallest entity whose keys are ever used together, so that load spreads and no command crosses slots.
 */
export class RedisKeys {
  readonly #prefix: string;

  /** @param namespace separates clusters that share one Redis; may be empty */
  constructor(namespace: string) {
    this.#prefix = namespace === "" ? "sangam:" : `sangam:${namespace}:`;
  }

  /** Requests of a caller in the present minute, or wrong credentials from an address. */
  rate = (kind: "user" | "organization" | "address" | "wrong", id: string) =>
    `${this.#prefix}rate:{${kind}:${id}}`;

  /** Who of an organization is online. */
  presence = (organizationId: string) => `${this.#prefix}presence:{org:${organizationId}}`;

  /** A value that is given out once. */
  once = (purpose: string, token: string) => `${this.#prefix}once:${purpose}:{${token}}`;

  /** A cached value; in the slot of its organization and tag, as is what invalidates it. */
  cached = (cache: string, organizationId: string, tag: string, id: string) =>
    `${this.#prefix}cache:${cache}:{org:${organizationId}:${tag}}:value:${id}`;

  /** Changes when all cached values of the organization and tag become invalid. */
  generation = (cache: string, organizationId: string, tag: string) =>
    `${this.#prefix}cache:${cache}:{org:${organizationId}:${tag}}:generation`;

  /** Begin of the channels of Socket.IO's adapter. */
  get channelPrefix(): string {
    return `${this.#prefix}socket.io`;
  }
}
