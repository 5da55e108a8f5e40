import { describe, expect, test } from "@jest/globals";
import { TOTP } from "otpauth";
import type { SignedIn } from "../../services/identity/identity.contract.ts";
import { forgetOldEntries } from "../../services/identity/audit-log/audit-log.ts";
import { inspect } from "../support/database.ts";
import {
  hire,
  metaOf,
  newEmail,
  node,
  password,
  refusal,
  register,
  useIdentity,
} from "../support/identity.ts";

useIdentity();

const entriesOf = async (admin: SignedIn, filter: Record<string, string> = {}) =>
  (await node.call("identity.listAuditLog", { limit: 200, filter }, metaOf(admin))).data;
const typesOf = async (admin: SignedIn) => (await entriesOf(admin)).map(({ type }) => type);

describe("the audit log", () => {
  test("tells of sign-ins, failed ones, and tokens used twice, with their address", async () => {
    const admin = await register();
    const { email, id } = admin.user;
    const from = { ip: "192.0.2.1", userAgent: "Firefox" };
    await node.call("identity.login", { email, password, ...from });
    await node.call("identity.login", { email, password: "wrong", ...from }).catch(() => undefined);
    await node.call("identity.login", { email: newEmail(), password, ...from }).catch(() => undefined);
    await node.call("identity.refresh", { refreshToken: admin.refreshToken });
    await node.call("identity.refresh", { refreshToken: admin.refreshToken }).catch(() => undefined);
    const entries = await entriesOf(admin);
    expect(entries).toEqual([
      expect.objectContaining({ type: "session.token_reused", actorId: null, subjectId: id }),
      expect.objectContaining({ type: "user.sign_in_failed", actorId: null, subjectId: id, ...from }),
      expect.objectContaining({ type: "user.signed_in", actorId: id, subjectId: id, ...from }),
    ]);
  });

  test("tells of changed users, factors and keys, and who changed them", async () => {
    const admin = await register();
    const { user } = await hire(admin, "viewer");
    const meta = metaOf(admin);
    await node.call("identity.updateUser", { id: user.id, role: "manager" }, meta);
    await node.call("identity.updateUser", { id: user.id, isActive: false }, meta);
    const key = await node.call("identity.createApiKey", { name: "CI", scopes: ["leads:read"] }, meta);
    await node.call("identity.revokeApiKey", { id: key.id }, meta);
    await node.call("identity.inviteUser", { name: "R", email: newEmail(), role: "viewer" }, meta);
    const { secret } = await node.call("identity.enrollTotp", {}, meta);
    const codeOf = (steps: number) =>
      new TOTP({ secret: secret ?? "" }).generate({ timestamp: Date.now() + steps * 30_000 });
    await node.call("identity.verifyTotp", { totp: codeOf(-1) }, meta);
    await node.call("identity.disableTotp", { password, totp: codeOf(0) }, meta);
    expect(await typesOf(admin)).toEqual([
      "mfa.disabled",
      "mfa.enabled",
      "user.invited",
      "api_key.revoked",
      "api_key.created",
      "user.deactivated",
      "user.role_changed",
      "user.signed_in",
      "user.joined",
    ]);
    expect(await entriesOf(admin, { type: "user.role_changed" })).toEqual([
      expect.objectContaining({
        actorId: admin.user.id,
        subjectId: user.id,
        details: { from: "viewer", to: "manager" },
      }),
    ]);
    expect(JSON.stringify(await entriesOf(admin))).not.toContain(key.key?.slice(-43));
  });

  test("keeps no entry of what was not done", async () => {
    const admin = await register();
    await node
      .call("identity.updateUser", { id: admin.user.id, role: "viewer" }, metaOf(admin))
      .catch(() => undefined);
    expect(await typesOf(admin)).toEqual([]);
  });

  test("is read by the organization's admins alone", async () => {
    const admin = await register();
    const manager = await hire(admin, "manager");
    const refused = node.call("identity.listAuditLog", {}, metaOf(manager));
    await expect(refused).rejects.toEqual(refusal(403, "FORBIDDEN"));
    expect(await typesOf(await register())).toEqual([]);
  });

  test("cannot be changed by the app, and forgets entries after 400 days", async () => {
    const admin = await register();
    await hire(admin, "viewer");
    const { database } = node.runtime;
    const tamper = database.transaction({ control: admin.organization.id }, (tx) =>
      tx.execute({ text: "DELETE FROM control.audit_log" }),
    );
    await expect(tamper).rejects.toMatchObject({ code: "42501" });
    await inspect(
      node.databases[0] ?? "",
      `UPDATE control.audit_log SET created_at = now() - interval '401 days'
        WHERE organization_id = $1 AND type = 'user.joined'`,
      [admin.organization.id],
    );
    await database.transaction({ platform: database.control }, forgetOldEntries);
    expect(await typesOf(admin)).toEqual(["user.signed_in"]);
  });
});
