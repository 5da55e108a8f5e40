import { nobody } from "../../mixins/privacy/personal-data.ts";
import { enqueue, type PersonalDataHandlersOf } from "../contracts.ts";
import type { privacyContract } from "./privacy.contract.ts";

/** An erasure reaches archives too. Nothing else of this service tells of persons: whom a request is about is sealed, and then forgotten. */
export const privacyPersonalDataHandlers: PersonalDataHandlersOf<typeof privacyContract> = {
  requests: {
    find: () => Promise.resolve(nobody),
    // an archive does not hold archives
    export: () => Promise.resolve({ records: [], next: null }),
    async erase({ locals: { tx } }) {
      const [dropped, again] = await Promise.all([
        tx.query<{ id: string }>({
          text: `UPDATE privacy_requests SET archive_bytes = NULL, archive_sha256 = NULL, archive_expires_at = NULL,
              version = version + 1, updated_at = $1
            WHERE archive_expires_at IS NOT NULL RETURNING id`,
          values: [tx.now],
        }),
        tx.query<{ id: string }>({
          text: `UPDATE privacy_requests SET status = 'pending', epoch = epoch + 1, version = version + 1, updated_at = $1
            WHERE kind = 'export' AND status = 'running' RETURNING id`,
          values: [tx.now],
        }),
      ]);
      const ids = [...dropped, ...again].map(({ id }) => id);
      tx.defer({ text: "DELETE FROM privacy_chunks WHERE request_id = ANY ($1)", values: [ids] });
      for (const { id } of again) enqueue(tx, "privacy.export", { requestId: id }, { key: id });
      return { count: dropped.length, kept: 0, next: null };
    },
  },
};
