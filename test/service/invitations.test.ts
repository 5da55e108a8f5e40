import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import type { SignedIn } from "../../services/identity/identity.contract.ts";
import { Client } from "../support/client.ts";
import { inspect, proveEmail } from "../support/database.ts";
import { metaOf, newEmail, refusal } from "../support/identity.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, startTestNode, type TestNode } from "../support/node.ts";
import { MailServer } from "../support/smtp.ts";

let node: TestNode;
let mails: MailServer;

beforeAll(async () => {
  mails = await MailServer.listen();
  node = await startTestNode({ SERVICES: "gateway,identity,teams,worker", SMTP_URL: mails.url });
});
afterAll(async () => {
  await node.stop();
  await mails.close();
});

const password = "correct-horse-battery";
const register = (organizationName = "Acme") =>
  node.call("identity.register", { organizationName, name: "Asha", email: newEmail(), password });
const invite = (by: SignedIn, email: string, role = "viewer", name = "Ravi") =>
  node.call("identity.inviteUser", { name, email, role: role }, metaOf(by));
const invitesTo = (email: string) => mails.tokensFor(email, "accept-invite");
const tokenOf = (email: string): Promise<string> => eventually(() => invitesTo(email)[0]);
const accept = (token: string) => node.call("identity.acceptInvite", { token, password });
const prove = ({ user }: SignedIn) => proveEmail(node.databases[0], user.id);
/** Mails of others that were asked for later have arrived: what has not come until then does not. */
async function queueIsEmpty(): Promise<void> {
  const witness = await register();
  await eventually(() => mails.tokensFor(witness.user.email, "verify-email")[0]);
  await eventually(async () => {
    const waiting = await inspect(
      node.databases[0] as string,
      "SELECT FROM graphile_worker._private_jobs WHERE run_at <= now() AND attempts < max_attempts",
    );
    return waiting.length === 0;
  });
}

describe("an invitation whose giver", () => {
  const hire = async (admin: SignedIn, role: string) => {
    const email = newEmail();
    await node.call("identity.createUser", { name: "R", email, role: role, password }, metaOf(admin));
    return node.call("identity.login", { email, password });
  };
  const change = (admin: SignedIn, { user }: SignedIn, body: object) =>
    node.call("identity.updateUser", { id: user.id, ...body }, metaOf(admin));
  const validity = async (admin: SignedIn) =>
    (await node.call("identity.listInvites", {}, metaOf(admin))).data.map(({ isValid }) => isValid);

  test.each<[string, object, object]>([
    ["is deactivated", { isActive: false }, { isActive: true }],
    ["has another role", { role: "viewer" }, { role: "admin" }],
  ])("%s counts for nothing, until that is undone", async (_title, undo, redo) => {
    const admin = await register();
    const inviter = await hire(admin, "admin");
    const email = newEmail();
    expect(await invite(inviter, email, "admin")).toMatchObject({
      invitedBy: inviter.user.id,
      isValid: true,
    });
    const token = await tokenOf(email);
    await change(admin, inviter, undo);
    expect(await validity(admin)).toEqual([false]);
    await expect(accept(token)).rejects.toEqual(refusal(400, "LINK_INVALID"));
    await change(admin, inviter, redo);
    expect(await validity(admin)).toEqual([true]);
    expect(await accept(token)).toMatchObject({ user: { role: "admin" } });
  });

  test("has a role that permits less by now counts for nothing", async () => {
    const admin = await register();
    const { id: role } = await node.call(
      "identity.createRole",
      { name: "Inviter", permissions: ["users:create", "users:read"], sees: "own" },
      metaOf(admin),
    );
    const { id: small } = await node.call(
      "identity.createRole",
      { name: "Small", permissions: ["users:read"], sees: "own" },
      metaOf(admin),
    );
    const inviter = await hire(admin, role);
    const email = newEmail();
    await invite(inviter, email, small);
    const token = await tokenOf(email);
    const narrow = (permissions: string[]) =>
      node.call("identity.updateRole", { role, permissions }, metaOf(admin));
    for (const permissions of [["users:create"], ["users:read"]]) {
      await narrow(permissions);
      await expect(accept(token)).rejects.toEqual(refusal(400, "LINK_INVALID"));
    }
    await narrow(["users:create", "users:read"]);
    await accept(token);
  });

  test("was deactivated before the mail went out is not mailed", async () => {
    const admin = await register();
    const inviter = await hire(admin, "admin");
    const email = newEmail();
    await queueIsEmpty();
    mails.refuses = 451;
    await invite(inviter, email, "admin");
    const jobs = (sql: string) => inspect(node.databases[0] as string, sql);
    const failed = "last_error IS NOT NULL AND locked_at IS NULL";
    await eventually(async () => {
      const rows = await jobs(
        `SELECT FROM graphile_worker.jobs WHERE task_identifier = 'identity.sendInvite' AND ${failed}`,
      );
      return rows.length > 0;
    });
    await change(admin, inviter, { isActive: false });
    mails.refuses = undefined;
    await jobs(`UPDATE graphile_worker._private_jobs SET run_at = now() WHERE ${failed}`);
    await queueIsEmpty();
    expect(invitesTo(email)).toEqual([]);
  });

  test("is deactivated while it is accepted is accepted before that, or not at all", async () => {
    for (let round = 0; round < 3; round++) {
      const admin = await register();
      const inviter = await hire(admin, "admin");
      const email = newEmail();
      await invite(inviter, email, "admin");
      const token = await tokenOf(email);
      const [accepted, deactivated] = await Promise.allSettled([
        accept(token),
        change(admin, inviter, { isActive: false }),
      ]);
      expect(deactivated.status).toBe("fulfilled");
      if (accepted.status === "rejected") expect(accepted.reason).toEqual(refusal(400, "LINK_INVALID"));
    }
  });
});

describe("mails of strangers", () => {
  const tooMany = refusal(429, "TOO_MANY_INVITES");

  test("are three a day of one organization to one address", async () => {
    const admin = await register();
    const email = newEmail();
    const outcomes = [];
    for (let n = 0; n < 40; n++) outcomes.push(await invite(admin, email).then(() => "sent", String));
    expect(outcomes.filter((outcome) => outcome === "sent")).toHaveLength(3);
    await expect(invite(admin, email)).rejects.toEqual(tooMany);
    await queueIsEmpty();
    expect(invitesTo(email).length).toBeLessThanOrEqual(3);
    expect(invitesTo(email).length).toBeGreaterThan(0);
  });

  const told = async (by: SignedIn) => (await node.call("identity.listInvites", {}, metaOf(by))).data[0];
  /** So many organizations that invite twice each, one after the other. */
  const ringOf = async (size: number, email: string) => {
    const ring = [];
    for (let n = 0; n < size; n++) {
      const admin = await register(`Ring ${n}`);
      for (let again = 0; again < 2; again++) {
        expect(await invite(admin, email)).toMatchObject({ status: "pending", isValid: true });
        await eventually(async () => {
          const { mailedAt, mailDelayedUntil } = (await told(admin)) ?? {};
          return mailedAt ?? mailDelayedUntil;
        });
      }
      ring.push(admin);
    }
    return ring;
  };

  test("are five a day of all organizations that nobody has proved to one address; the next are told to wait, and are mailed then", async () => {
    const email = newEmail();
    const [first, , , last] = await ringOf(4, email);
    expect(mails.mailsTo(email)).toHaveLength(5);
    expect(await told(first as SignedIn)).toMatchObject({
      mailedAt: expect.any(String) as unknown as string,
      mailDelayedUntil: null,
    });
    const waiting = await told(last as SignedIn);
    expect(waiting).toMatchObject({ mailedAt: null, isValid: true });
    const seconds = (Date.parse(String(waiting?.mailDelayedUntil)) - Date.now()) / 1000;
    expect(seconds).toBeGreaterThan(23 * 3600);
    expect(seconds).toBeLessThanOrEqual(24 * 3600);
    // who asks by then is told at once
    const late = await register("Late");
    expect(await invite(late, email)).toMatchObject({
      mailDelayedUntil: expect.stringMatching(/Z$/) as unknown as string,
    });

    // a day later
    const inDatabase = (sql: string) => inspect(node.databases[0] as string, sql);
    await inDatabase("UPDATE control.sign_in_failures SET ends_at = now()");
    await inDatabase(
      "UPDATE graphile_worker._private_jobs SET run_at = now() WHERE run_at > now() + interval '1 hour' AND attempts = 0",
    );
    await eventually(async () => (await told(late))?.mailedAt !== null);
    expect(await told(late)).toMatchObject({ mailDelayedUntil: null });
    await eventually(() => mails.mailsTo(email).length === 8);
  });

  test("of organizations that nobody has proved do not use up what others may send", async () => {
    const email = newEmail();
    await ringOf(4, email);
    const admin = await register("Proved");
    await prove(admin);
    const before = mails.mailsTo(email).length;
    expect(await invite(admin, email)).toMatchObject({ mailDelayedUntil: null });
    await eventually(() => mails.mailsTo(email).length === before + 1);
    await eventually(async () => (await told(admin))?.mailedAt !== null);
  });

  test("are twenty a day of an organization without a proved address, and more of one with", async () => {
    const admin = await register();
    for (let n = 0; n < 20; n++) await invite(admin, newEmail());
    await expect(invite(admin, newEmail())).rejects.toEqual(tooMany);
    // who may not invite uses nothing up
    await prove(admin);
    await expect(invite(admin, admin.user.email)).rejects.toEqual(refusal(409, "EMAIL_TAKEN"));
    await invite(admin, newEmail());
  });

  test("do not count while the server takes none, and are sent later", async () => {
    const admin = await register();
    const email = newEmail();
    mails.refuses = 451;
    const before = mails.asked;
    await invite(admin, email);
    await eventually(() => mails.asked > before);
    mails.refuses = undefined;
    await accept(await eventually(() => invitesTo(email)[0], 20_000));
  });

  test("begin with words of ours, and hold no link but ours", async () => {
    const organizationName = "Prize! https://evil.example/win www.evil.example evil.example";
    const admin = await register(organizationName);
    const email = newEmail();
    await invite(admin, email, "viewer", "Click http://evil.example now");
    await tokenOf(email);
    const [mail = ""] = mails.mailsTo(email);
    const body = mail.slice(mail.search(/\r?\n\r?\n/)).trim();
    expect(body).toMatch(/^Hello,\s+This mail is from Sangam/);
    expect(body).not.toMatch(/evil\.example|www\.|http:\/\/evil/);
    expect(body.match(/https?:\/\//g)).toHaveLength(1);
    expect(mail).toMatch(/^Subject: You are invited to Sangam\r?$/m);
  });
});

test.each(["a\nb", "a\tb", "a\u0000b", "a\u202eb", "a\u2028b"])(
  "a name %j is refused wherever something is named",
  async (name) => {
    const visitor = new Client(originOf(node));
    const admin = await visitor.register("Names");
    const person = { email: newEmail(), role: "viewer", password };
    const attempts: Record<string, Promise<{ status: number; body: unknown }>> = {
      register: visitor.post("/auth/register", { organizationName: "A", name, email: newEmail(), password }),
      organization: visitor.post("/auth/register", {
        organizationName: name,
        name: "A",
        email: newEmail(),
        password,
      }),
      rename: admin.send("PATCH", "/organization", { name }),
      user: admin.post("/users", { ...person, name }),
      self: admin.send("PATCH", `/users/${admin.userId}`, { name }),
      invite: admin.post("/users/invite", { email: person.email, role: "viewer", name }),
      role: admin.post("/roles", { name, permissions: [] }),
      team: admin.post("/teams", { name }),
      key: admin.post("/api-keys", { name, scopes: ["users:read"] }),
    };
    for (const [what, answering] of Object.entries(attempts)) {
      const { status, body } = await answering;
      const { errors = [] } = body as { errors?: { path: string; code: string }[] };
      const path = what === "organization" ? "organizationName" : "name";
      expect({ what, status, errors }).toEqual({
        ...{ what, status: 422 },
        errors: expect.arrayContaining([
          expect.objectContaining({ path, code: "invalid_characters" }),
        ]) as unknown,
      });
    }
  },
);
