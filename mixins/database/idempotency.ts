import type { Statement } from "./statement.ts";

/** Which request this is: its key, and a hash of what it asks for. */
export interface Idempotency {
  key: string;
  fingerprint: string;
}

/** Takes keys and records their responses at once, for commands that only write. */
export const claimKeys = { name: "claim_idempotency_keys", text: "SELECT claim_idempotency_keys($1)" };
/** Takes a key before anything else of a command; its response is recorded at the end. */
export const lockKey = (key: string): Statement => ({
  name: "lock_idempotency_key",
  text: "SELECT claim_idempotency_key($1, '', NULL)",
  values: [key],
});
/** @param response as JSON */
export const recordKey = (
  organizationId: string,
  { key, fingerprint }: Idempotency,
  response: string,
): Statement => ({
  name: "record_idempotency_key",
  text: `INSERT INTO idempotency_keys (organization_id, key, fingerprint, response) VALUES ($1, $2, $3, $4)
    ON CONFLICT (organization_id, key)
    DO UPDATE SET fingerprint = excluded.fingerprint, response = excluded.response, created_at = now()`,
  values: [organizationId, key, fingerprint, response],
});
