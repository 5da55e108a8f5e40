import type { UnitOfWork } from "../../../mixins/database/unit-of-work.ts";
import {
  invitedByCounters,
  invitedCounters,
  unaskedMailCounters,
  type Counter,
} from "../sign-in/throttle.ts";

/** What an invitation counts for that its organization may know of. */
export const inviteCounters = (tx: UnitOfWork, organizationId: string, email: string): Promise<Counter[]> =>
  ofOrganization(tx, organizationId, email, "invites");

/** What the mail to a colleague counts for whom an admin added. */
export const noticeCounters = async (
  tx: UnitOfWork,
  organizationId: string,
  email: string,
): Promise<Counter[]> => [
  ...(await ofOrganization(tx, organizationId, email, "notices")),
  ...invitedCounters(email),
];

async function ofOrganization(
  tx: UnitOfWork,
  organizationId: string,
  email: string,
  kind: "invites" | "notices",
): Promise<Counter[]> {
  const proved = await tx.query({
    name: "has_proved_admin",
    text: `SELECT FROM control.users WHERE organization_id = $1 AND role = 'admin' AND is_active
      AND email_verified_at IS NOT NULL LIMIT 1`,
    values: [organizationId],
  });
  const counters = unaskedMailCounters(organizationId, { kind, isProved: proved.length > 0 });
  return [...counters, ...invitedByCounters(organizationId, email)];
}
