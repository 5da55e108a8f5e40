import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { SignedIn } from "../../services/identity/identity.contract.ts";
import { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { metaOf, newEmail, password, refusal } from "../support/identity.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, startTestNode, type TestNode } from "../support/node.ts";
import { MailServer } from "../support/smtp.ts";

let node: TestNode;
let mails: MailServer;

beforeAll(async () => {
  mails = await MailServer.listen();
  node = await startTestNode({
    SERVICES: "identity,worker",
    SMTP_URL: mails.url,
    PUBLIC_URL: "https://crm.example.com/",
  });
});
afterAll(async () => {
  await node.stop();
  await mails.close();
});

const newPassword = "quite another secret";
const register = () =>
  node.call("identity.register", { organizationName: "Mail", name: "Asha", email: newEmail(), password });
const inDatabase = (sql: string, values: unknown[] = []) => inspect(node.databases[0] ?? "", sql, values);
const forgot = (email: string) => node.call("identity.forgotPassword", { email });
async function tokenFor(
  email: string,
  nth = 1,
  page: "reset-password" | "accept-invite" = "reset-password",
): Promise<string> {
  const tokens = await eventually(() => {
    const found = mails.tokensFor(email, page);
    return found.length >= nth && found;
  });
  return tokens[nth - 1] ?? "";
}
const reset = (token: string, chosen = newPassword) =>
  node.call("identity.resetPassword", { token, password: chosen });
const invalid = refusal(400, "LINK_INVALID");

describe("a forgotten password", () => {
  test("can be asked for by its owner, from where they sign in, however often strangers have asked", async () => {
    const at = (ip: string) => ({ ip, userAgent: "test" });
    const email = newEmail();
    await node.call("identity.register", { organizationName: "Mail", name: "Asha", email, password, ...at("192.0.2.7") }); // prettier-ignore
    const ask = (ip: string) => node.call("identity.forgotPassword", { email, ip });
    for (let n = 0; n < 4; n++) {
      await ask("198.51.100.1");
      if (n < 3) await tokenFor(email, n + 1);
    }
    await ask("192.0.2.7");
    await reset(await tokenFor(email, 4));
    expect(mails.tokensFor(email, "reset-password")).toHaveLength(4);
  });

  test("is replaced through a mailed link, once, which ends all sessions", async () => {
    const { user, refreshToken } = await register();
    await forgot(user.email);
    const token = await tokenFor(user.email);
    expect(token).toMatch(/^[\w-]{43}$/);
    expect(mails.mailsTo(user.email, "https://crm.example.com/reset-password?token=")).toHaveLength(1);
    await reset(token);
    await expect(reset(token, "and one more secret")).rejects.toEqual(invalid);
    const refreshed = node.call("identity.refresh", { refreshToken });
    await expect(refreshed).rejects.toEqual(refusal(401, "INVALID_REFRESH_TOKEN"));
    await node.call("identity.login", { email: user.email, password: newPassword });
    const old = node.call("identity.login", { email: user.email, password });
    await expect(old).rejects.toEqual(refusal(401, "INVALID_CREDENTIALS"));
  });

  test("is answered the same for an email nobody has, and mails nothing", async () => {
    const { user } = await register();
    const nobody = newEmail();
    expect([await forgot(nobody), await forgot(user.email)]).toEqual([null, null]);
    await tokenFor(user.email);
    expect(mails.mailsTo(nobody)).toEqual([]);
  });

  test("leaves no token where somebody could read it", async () => {
    const { user } = await register();
    await forgot(user.email);
    const token = await tokenFor(user.email);
    const [row] = await inDatabase(
      `SELECT (SELECT json_agg(r) FROM control.password_resets r) AS resets,
        (SELECT json_agg(m) FROM control.kept_mails m) AS mails,
        (SELECT json_agg(j) FROM graphile_worker._private_jobs j) AS jobs`,
    );
    expect(row?.resets).toContainEqual(expect.objectContaining({ user_id: user.id }));
    expect(JSON.stringify(row)).not.toContain(token);
  });

  test("is replaced once by 20 with the same link at the same time", async () => {
    const { user } = await register();
    await forgot(user.email);
    const token = await tokenFor(user.email);
    const outcomes = await Promise.allSettled(
      Array.from({ length: 20 }, (_, n) => reset(token, `secret number ${n}`)),
    );
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
  });

  test("is refused with an expired link, a wrong one, a guessable password, or to who has left", async () => {
    const { user } = await register();
    await forgot(user.email);
    const token = await tokenFor(user.email);
    await expect(reset(token.replace(/^./, (letter) => (letter === "A" ? "B" : "A")))).rejects.toEqual(
      invalid,
    );
    await expect(reset(token, "password123")).rejects.toEqual(refusal(422, "VALIDATION_FAILED"));
    await inDatabase("UPDATE control.users SET is_active = false WHERE id = $1", [user.id]);
    await expect(reset(token)).rejects.toEqual(invalid);
    await inDatabase("UPDATE control.users SET is_active = true WHERE id = $1", [user.id]);
    await inDatabase("UPDATE control.password_resets SET expires_at = now() WHERE user_id = $1", [user.id]);
    await expect(reset(token)).rejects.toEqual(invalid);
    await node.call("identity.login", { email: user.email, password });
  });

  test("asked for again and again is mailed three times in a quarter of an hour", async () => {
    const { user } = await register();
    for (let n = 1; n <= 5; n++) {
      await forgot(user.email);
      await tokenFor(user.email, Math.min(n, 3));
    }
    const witness = (await register()).user.email;
    await forgot(witness);
    await tokenFor(witness);
    expect(mails.tokensFor(user.email, "reset-password")).toHaveLength(3);
  });
});

describe("an invitation", () => {
  const inviteTo = (email: string, nth = 1) => tokenFor(email, nth, "accept-invite");
  const invite = (admin: SignedIn, email: string, role: "viewer" | "manager" = "viewer") =>
    node.call("identity.inviteUser", { name: "Ravi", email, role }, metaOf(admin));
  const accept = (token: string) => node.call("identity.acceptInvite", { token, password: newPassword });

  test("is mailed, and makes the user in the organization, with the role, once", async () => {
    const admin = await register();
    const email = newEmail();
    const invited = await invite(admin, email, "manager");
    expect(invited).toMatchObject({ email, role: "manager", status: "pending" });
    const { data } = await node.call("identity.listInvites", {}, metaOf(admin));
    expect(data.map(({ id }) => id)).toEqual([invited.id]);
    const token = await inviteTo(email);
    const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => accept(token)));
    const [signedIn] = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value] : []));
    expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(1);
    expect(signedIn).toMatchObject({ user: { email, role: "manager" }, organization: admin.organization });
    expect(await node.call("identity.listInvites", {}, metaOf(admin))).toMatchObject({ data: [] });
    await node.call("identity.login", { email, password: newPassword });
    await expect(invite(admin, email)).rejects.toEqual(refusal(409, "EMAIL_TAKEN"));
  });

  test("ends when it is taken back, replaced or too old", async () => {
    const admin = await register();
    const email = newEmail();
    const { id } = await invite(admin, email);
    const first = await inviteTo(email);
    const stranger = await register();
    const notTheirs = node.call("identity.revokeInvite", { id }, metaOf(stranger));
    await expect(notTheirs).rejects.toEqual(refusal(404, "INVITE_NOT_FOUND"));
    const { id: nextId } = await invite(admin, email);
    const second = await inviteTo(email, 2);
    await expect(accept(first)).rejects.toEqual(invalid);
    await inDatabase("UPDATE control.invites SET expires_at = now() WHERE id = $1", [nextId]);
    await expect(accept(second)).rejects.toEqual(invalid);
    await inDatabase("UPDATE control.invites SET expires_at = now() + interval '1 hour'");
    await node.call("identity.revokeInvite", { id: nextId }, metaOf(admin));
    await expect(accept(second)).rejects.toEqual(invalid);
  });

  test("comes from admins only, and cannot take over a user of another organization", async () => {
    const [admin, other] = [await register(), await register()];
    const viewer = { ...metaOf(admin), role: "viewer" };
    const refused = node.call("identity.inviteUser", { name: "R", email: newEmail(), role: "admin" }, viewer);
    await expect(refused).rejects.toEqual(refusal(403, "FORBIDDEN"));
    await inDatabase("UPDATE control.users SET email_verified_at = now() WHERE id = $1", [other.user.id]);
    await invite(admin, other.user.email);
    const token = await inviteTo(other.user.email);
    await expect(accept(token)).rejects.toEqual(refusal(409, "EMAIL_TAKEN"));
    const signedIn = await node.call("identity.login", { email: other.user.email, password });
    expect(signedIn.organization.id).toBe(other.organization.id);
  });
});

describe("mail", () => {
  test("that the server cannot take now is sent later", async () => {
    const { user } = await register();
    mails.refuses = 451;
    const before = mails.asked;
    await forgot(user.email);
    await eventually(() => mails.asked > before);
    mails.refuses = undefined;
    await tokenFor(user.email);
  });

  test("without a server is kept and shown to callers on this machine, where that is allowed", async () => {
    const local = await startTestNode({ DEV_OUTBOX: "true" });
    try {
      const visitor = new Client(originOf(local));
      const admin = await visitor.register("Outbox");
      expect(
        await admin.post("/users/invite", { name: "R", email: "r@test.example", role: "viewer" }),
      ).toMatchObject({ status: 202, body: { status: "pending" } });
      const outbox = (headers = {}) => visitor.get(`${visitor.origin}/dev/outbox`, headers);
      const mail = await eventually(async () => {
        const { data } = (await outbox()).body as { data: { to: string; text: string }[] };
        return data.find(({ to }) => to === "r@test.example");
      });
      const token = /token=([\w-]+)/.exec(mail.text)?.[1];
      const joined = await visitor.post("/auth/invite/accept", { token, password: newPassword });
      expect(joined).toMatchObject({ status: 201, body: { user: { email: "r@test.example" } } });
      for (const header of ["x-forwarded-for", "x-forwarded-host", "x-real-ip", "forwarded", "via"])
        expect(await outbox({ [header]: "203.0.113.9" })).toMatchObject({ status: 404 });
    } finally {
      await local.stop();
    }
  });

  test("is shown to nobody by default where a database is configured", async () => {
    const plain = await startTestNode();
    try {
      const visitor = new Client(originOf(plain));
      expect(await visitor.get(`${visitor.origin}/dev/outbox`)).toMatchObject({ status: 404 });
    } finally {
      await plain.stop();
    }
  });
});
