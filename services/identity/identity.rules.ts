import type { Role } from "../../mixins/access/principal.ts";
import { commonPasswords } from "./sign-in/common-passwords.ts";

/** What decides the rights of a user. */
export interface Standing {
  role: string;
  isActive: boolean;
}
export type EndReason =
  | "logout"
  | "revoked"
  | "reuse"
  | "deactivated"
  | "role_changed"
  | "password_reset"
  | "password_changed"
  | "mfa_reset"
  | "superseded";

/**
 * Whether a new password is among the first anybody would try: a common one, or what the user is called.
 * @param names the user's name, email and organization
 */
export function isEasilyGuessed(password: string, names: readonly string[]): boolean {
  const folded = fold(password);
  if (commonPasswords.has(folded)) return true;
  return names.some((name) => {
    const [beforeAt = ""] = name.split("@");
    return [name, beforeAt].some((variant) => fold(variant) === folded || withoutSpaces(variant) === folded);
  });
}
const fold = (text: string): string => text.normalize("NFKC").trim().toLowerCase();
const withoutSpaces = (text: string): string => fold(text).replace(/\s+/g, "");

const isActiveAdmin = ({ role, isActive }: Standing): boolean =>
  isActive && role === ("admin" satisfies Role);

/** Whether a change takes an active admin from the organization. */
export const removesAdmin = (before: Standing, after: Standing): boolean =>
  isActiveAdmin(before) && !isActiveAdmin(after);

/** Why a change of standing ends the user's sessions, or null: their tokens carry the rights of before. */
export function whySessionsEnd(before: Standing, after: Standing): EndReason | null {
  if (before.isActive && !after.isActive) return "deactivated";
  return before.role === after.role ? null : "role_changed";
}

/** What a change of standing is called in the audit log. */
export function standingChanges(
  before: Standing,
  after: Standing,
): (
  { type: "user.role_changed"; from: string; to: string } | { type: "user.activated" | "user.deactivated" }
)[] {
  return [
    ...(before.role === after.role
      ? []
      : [{ type: "user.role_changed" as const, from: before.role, to: after.role }]),
    ...(before.isActive === after.isActive
      ? []
      : [{ type: after.isActive ? ("user.activated" as const) : ("user.deactivated" as const) }]),
  ];
}
