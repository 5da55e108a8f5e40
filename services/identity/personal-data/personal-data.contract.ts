import { personalData } from "../../../mixins/privacy/personal-data.ts";

/** What identity holds of persons; part of identityContract. */
export const identityPersonalData = {
  users: personalData({
    summary:
      "Colleagues, their sessions, factors and API keys. An active user is kept and must be deactivated first; of others the row stays without name and email, all else is deleted",
    tables: [
      "control.users",
      "control.sessions",
      "control.api_keys",
      "control.totp_factors",
      "control.recovery_codes",
      "control.identities",
      "control.sign_in_codes",
      "control.password_resets",
      "control.email_verifications",
    ],
  }),
  invites: personalData({
    summary: "Invitations and kept mails to the person; deleted",
    tables: ["control.invites", "control.kept_mails"],
  }),
  "audit-log": personalData({
    summary: "Entries by and about a user; they stay, without address and program",
    tables: ["control.audit_log"],
    retention: { default: 400, least: 30, most: 400 },
  }),
};
