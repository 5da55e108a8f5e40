import { LRUCache } from "lru-cache";

const ttlMs = 30_000;
const most = 10_000;

/**
 * This process's copy of something of each organization, so that calls need not read it. Whoever changes it broadcasts, and every
 * process forgets its copy; a broadcast that was lost costs at most 30 s of an old one.
 */
export class CopiesByOrganization<T> {
  readonly #load: (organizationId: string) => Promise<T>;
  readonly #loaded = new LRUCache<string, Promise<T>>({ max: most, ttl: ttlMs });

  constructor(load: (organizationId: string) => Promise<T>) {
    this.#load = load;
  }

  /** As it is; loaded where this process has no copy. */
  of(organizationId: string): Promise<T> {
    let loading = this.#loaded.get(organizationId);
    if (loading === undefined) {
      loading = this.#load(organizationId);
      this.#loaded.set(organizationId, loading);
      loading.catch(() => this.#loaded.delete(organizationId));
    }
    return loading;
  }

  forget(organizationId: string): void {
    this.#loaded.delete(organizationId);
  }
}
