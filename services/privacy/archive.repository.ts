import type { Database } from "../../mixins/database/database.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { OrganizationCipher } from "../../mixins/encryption/organization-cipher.ts";
import { archiveGone } from "./privacy.errors.ts";
import type { Claim } from "./requests.repository.ts";

const place = (requestId: string, position: number) => ({
  table: "privacy_chunks",
  column: "sealed",
  row: `${requestId}/${position}`,
});

/** Forgets what a former run has stored. */
export const dropChunks = (tx: UnitOfWork, requestId: string): Promise<number> =>
  tx.execute({ text: "DELETE FROM privacy_chunks WHERE request_id = $1", values: [requestId] });

/** Stores a piece of the archive; false when somebody else has the request. */
export async function insertChunk(
  tx: UnitOfWork,
  cipher: OrganizationCipher,
  { id, epoch }: Claim,
  position: number,
  bytes: Buffer,
): Promise<boolean> {
  const inserted = await tx.execute({
    name: "insert_privacy_chunk",
    // the lock makes a takeover wait for this insert, or this insert see the takeover
    text: `INSERT INTO privacy_chunks (organization_id, request_id, position, sealed)
      SELECT organization_id, id, $3, $4 FROM privacy_requests WHERE id = $1 AND epoch = $2 FOR SHARE`,
    values: [id, epoch, position, cipher.seal(place(id, position), bytes.toString("base64"))],
  });
  return inserted === 1;
}

/**
 * The bytes of an archive, a piece at a time, each read by itself.
 * @throws 410 ARCHIVE_GONE when it was dropped meanwhile
 */
export async function* readArchive(
  database: Database,
  organizationId: string,
  cipher: OrganizationCipher,
  archive: { id: string; bytes: number },
): AsyncGenerator<Buffer> {
  for (let position = 0, sent = 0; sent < archive.bytes; position++) {
    const [row] = await database.reader(organizationId).query<{ sealed: Buffer }>({
      name: "read_privacy_chunk",
      text: "SELECT sealed FROM privacy_chunks WHERE request_id = $1 AND position = $2",
      values: [archive.id, position],
    });
    if (!row) throw archiveGone();
    const bytes = Buffer.from(cipher.open(place(archive.id, position), row.sealed), "base64");
    sent += bytes.length;
    yield bytes;
  }
}
