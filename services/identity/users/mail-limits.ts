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
  ...(await addressCounters(tx, organizationId, email)),
];

/** What a mail of this organization counts for that others send to the address too. */
export const addressCounters = async (
  tx: UnitOfWork,
  organizationId: string,
  email: string,
): Promise<Counter[]> => invitedCounters(email, { isProved: await isProved(tx, organizationId) });

async function ofOrganization(
  tx: UnitOfWork,
  organizationId: string,
  email: string,
  kind: "invites" | "notices",
): Promise<Counter[]> {
  const counters = unaskedMailCounters(organizationId, {
    kind,
    isProved: await isProved(tx, organizationId),
  });
  return [...counters, ...invitedByCounters(organizationId, email)];
}

/** Whether an admin of the organization has proved an address: everybody can register. */
async function isProved(tx: UnitOfWork, organizationId: string): Promise<boolean> {
  const proved = await tx.query({
    name: "has_proved_admin",
    text: `SELECT FROM control.users WHERE organization_id = $1 AND role = 'admin' AND is_active
      AND email_verified_at IS NOT NULL LIMIT 1`,
    values: [organizationId],
  });
  return proved.length > 0;
}
