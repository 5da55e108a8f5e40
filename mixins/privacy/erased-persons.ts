import type { UnitOfWork } from "../database/unit-of-work.ts";
import type { OrganizationCipher } from "../encryption/organization-cipher.ts";

// Marks are `emailMark` and `phoneMark` of mixins/privacy/personal-data.ts.

const place = { table: "erased_persons", column: "hash" };

/** What is kept of a mark: equal for equal marks of the organization, and telling nothing else. */
export const markHash = (cipher: OrganizationCipher, mark: string): Buffer => cipher.blindIndex(place, mark);

/**
 * Remembers that the persons with these marks were erased. Waits for the transactions that have called `erasedAmong`:
 * what they write is there when this one has committed, and later ones see these marks.
 */
export async function rememberErased(tx: UnitOfWork, hashes: readonly Buffer[]): Promise<void> {
  await Promise.all([
    tx.execute(lock(tx, "pg_advisory_xact_lock")),
    tx.execute({
      text: `INSERT INTO erased_persons (organization_id, hash, erased_at) SELECT $1, hash, $3 FROM unnest($2::bytea[]) hash
        ON CONFLICT DO NOTHING`,
      values: [tx.organizationId, hashes, tx.now],
    }),
  ]);
}

/** Those of these hashes, in hex, that are of erased persons; no more can become so until this transaction ends. */
export async function erasedAmong(tx: UnitOfWork, hashes: readonly Buffer[]): Promise<ReadonlySet<string>> {
  if (hashes.length === 0) return new Set();
  const [, rows] = await Promise.all([
    // a statement of its own: what follows sees what was committed while this one waited
    tx.execute(lock(tx, "pg_advisory_xact_lock_shared")),
    tx.query<{ hash: string }>({
      name: "erased_among",
      text: "SELECT encode(hash, 'hex') AS hash FROM erased_persons WHERE hash = ANY ($1::bytea[])",
      values: [hashes],
    }),
  ]);
  return new Set(rows.map(({ hash }) => hash));
}

const lock = (tx: UnitOfWork, kind: string) => ({
  name: kind,
  text: `SELECT ${kind}(hashtextextended($1, 0))`,
  values: [`${tx.organizationId} erased persons`],
});
