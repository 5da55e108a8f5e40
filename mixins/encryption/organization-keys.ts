import { randomBytes } from "node:crypto";
import { LRUCache } from "lru-cache";
import type { Database } from "../database/database.ts";
import type { SealedBox } from "./sealed-box.ts";
import { OrganizationCipher } from "./organization-cipher.ts";

const mostInMemory = 10_000;
/** A key that was destroyed with its organization is forgotten by every process within this. */
const keptMs = 10 * 60_000;
const rewrappedAtOnce = 500;

/**
 * The data key of each organization: made when it is first needed, kept in the control database wrapped by
 * MASTER_KEY. Rotating MASTER_KEY wraps the keys anew and touches nothing they have sealed.
 */
export class OrganizationKeys {
  readonly #database: Database;
  readonly #box: SealedBox;
  readonly #ciphers: LRUCache<string, OrganizationCipher>;

  constructor(database: Database, box: SealedBox) {
    this.#database = database;
    this.#box = box;
    this.#ciphers = new LRUCache({
      max: mostInMemory,
      ttl: keptMs,
      fetchMethod: async (organizationId) => new OrganizationCipher(await this.#load(organizationId)),
    });
  }

  /**
   * The cipher of an organization. Ask for it before the unit of work reads or writes: the first time it needs a
   * connection of its own, and the key it makes must be durable before anything is sealed with it.
   * @throws Error when MASTER_KEY does not open the key
   */
  async of(organizationId: string): Promise<OrganizationCipher> {
    return (await this.#ciphers.fetch(organizationId)) as OrganizationCipher;
  }

  /**
   * Wraps every key anew that is not under the newest MASTER_KEY, in small transactions: it may die anywhere, run
   * twice and run at once. Afterwards the older MASTER_KEY is needed for none of these keys.
   * @returns how many were wrapped anew
   * @throws Error when a key is under none of the listed ones; those before it are done
   */
  async rewrap(): Promise<number> {
    let rewrapped = 0;
    for (;;) {
      const count = await this.#rewrapSome();
      rewrapped += count;
      if (count < rewrappedAtOnce) return rewrapped;
    }
  }

  #rewrapSome(): Promise<number> {
    return this.#database.transaction({ platform: this.#database.control }, async (tx) => {
      const rows = await tx.query<{ organization_id: string; wrapped: Buffer }>({
        text: `SELECT organization_id, wrapped FROM control.organization_keys WHERE master_key_id <> $1
          ORDER BY organization_id LIMIT $2 FOR UPDATE SKIP LOCKED`,
        values: [this.#box.newestKeyId, rewrappedAtOnce],
      });
      for (const { organization_id: organizationId, wrapped } of rows) {
        const dataKey = this.#box.open(wrapped, wrapContext(organizationId));
        tx.defer({
          name: "rewrap_organization_key",
          text: `UPDATE control.organization_keys SET wrapped = $2, master_key_id = $3, wrapped_at = now()
            WHERE organization_id = $1`,
          values: [
            organizationId,
            this.#box.seal(dataKey, wrapContext(organizationId)),
            this.#box.newestKeyId,
          ],
        });
      }
      return rows.length;
    });
  }

  async #load(organizationId: string): Promise<Buffer> {
    const wrapped =
      (await this.#find(organizationId))
      ?? (await this.#make(organizationId))
      ?? (await this.#find(organizationId));
    if (wrapped === undefined)
      throw new Error(`The key of organization ${organizationId} was destroyed meanwhile`);
    return Buffer.from(this.#box.open(wrapped, wrapContext(organizationId)), "base64");
  }

  #find(organizationId: string): Promise<Buffer | undefined> {
    return this.#database.transaction({ control: organizationId }, async (tx) => {
      const [row] = await tx.query<{ wrapped: Buffer }>({
        name: "find_organization_key",
        text: "SELECT wrapped FROM control.organization_keys",
      });
      return row?.wrapped;
    });
  }

  /** Undefined when another process was first: its key counts. */
  #make(organizationId: string): Promise<Buffer | undefined> {
    const dataKey = randomBytes(32).toString("base64");
    return this.#database.transaction({ control: organizationId }, async (tx) => {
      const [row] = await tx.query<{ wrapped: Buffer }>({
        text: `INSERT INTO control.organization_keys (organization_id, wrapped, master_key_id) VALUES ($1, $2, $3)
          ON CONFLICT DO NOTHING RETURNING wrapped`,
        values: [organizationId, this.#box.seal(dataKey, wrapContext(organizationId)), this.#box.newestKeyId],
      });
      return row?.wrapped;
    });
  }
}

const wrapContext = (organizationId: string): string => `organization_keys|wrapped|${organizationId}`;
