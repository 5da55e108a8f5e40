import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { TOTP } from "otpauth";
import { io, type Socket } from "socket.io-client";
import { organizationCommand } from "../../mixins/organizations/organization-command.ts";
import type { SignedIn } from "../../services/identity/identity.contract.ts";
import { inspect } from "../support/database.ts";
import { metaOf, newEmail, password } from "../support/identity.ts";
import { eventually } from "../support/eventually.ts";
import { type Node, originOf, startNode, startTestNode, testEnv, type TestNode } from "../support/node.ts";
import { probe } from "../support/probe.ts";

const services = "identity,leads,custom-fields,imports,events,jobs,service:gateway,service:worker";
const system = { role: "system" };
let node: TestNode;
/** Another gateway over the same databases that hears no broadcast of the first. */
let deaf: Node;
const runs: { organizationId: string | undefined; n: number }[] = [];
beforeAll(async () => {
  node = await startTestNode({ SERVICES: services }, [
    probe({
      jobs: {
        work: (ctx) => void runs.push({ organizationId: ctx.meta.organizationId, n: ctx.params.n }),
      },
    }),
  ]);
  deaf = await startNode(testEnv(node.databases, { SERVICES: "identity,service:gateway" }));
});
afterAll(async () => {
  await deaf.stop();
  await node.stop();
});

const control = () => node.databases[0] as string;
const register = () =>
  node.call("identity.register", { organizationName: "Acme", name: "Asha", email: newEmail(), password });
const idOf = (admin: SignedIn) => admin.organization.id;
const login = (admin: SignedIn, totp?: string) =>
  node.call("identity.login", { email: admin.user.email, password, ...(totp === undefined ? {} : { totp }) });
const restore = (email: string, totp?: string) =>
  node.call("identity.restoreOrganization", { email, password, ...(totp === undefined ? {} : { totp }) });
const refused = expect.objectContaining({ code: 403, type: "ORGANIZATION_SUSPENDED" });
const suspend = (admin: SignedIn) =>
  node.call("identity.suspendOrganization", { organizationId: idOf(admin), reason: "unpaid" }, system);
const resume = (admin: SignedIn) =>
  node.call("identity.resumeOrganization", { organizationId: idOf(admin) }, system);
const gateways = () => [node, deaf as TestNode].map(originOf);
const statusOf = async (origin: string, headers: Record<string, string>) => {
  const response = await fetch(`${origin}/api/v1/organization`, { headers });
  const { code } = (await response.json()) as { code?: string };
  return code ?? response.status;
};
const bearer = ({ accessToken }: SignedIn) => ({ authorization: `Bearer ${accessToken}` });
const connect = async (origin: string, admin: SignedIn): Promise<Socket> => {
  const socket = io(origin, {
    auth: { token: admin.accessToken },
    transports: ["websocket"],
    reconnection: false,
  });
  await new Promise<void>((done, fail) => {
    socket.once("connect", done);
    socket.once("connect_error", fail);
  });
  return socket;
};
const feedOf = async (admin: SignedIn) =>
  (await node.call("events.list", { types: "organization.*" }, metaOf(admin))).data.map(({ type }) => type);
const auditOf = async (admin: SignedIn) =>
  (
    await inspect<{ type: string }>(
      control(),
      "SELECT type FROM control.audit_log WHERE organization_id = $1 AND type LIKE 'organization.%' ORDER BY id",
      [idOf(admin)],
    )
  ).map(({ type }) => type);

describe("settings", () => {
  test("name, domain and time zone change, with an event and an entry in the audit log; the region does not", async () => {
    const [mine, other] = [await register(), await register()];
    const update = (params: object, who = mine) =>
      node.call("identity.updateOrganization", params, metaOf(who));
    const domain = `${idOf(mine)}.example.com`;
    const changed = await update({ domain: domain.toUpperCase(), timezone: "Asia/Kolkata" });
    expect(changed).toMatchObject({ name: "Acme", domain, timezone: "Asia/Kolkata", version: 2 });
    expect(await update({ timezone: "Asia/Kolkata" })).toMatchObject({ version: 2 });
    expect(await update({ domain }, other)).toMatchObject({ domain, domainVerifiedAt: null });
    for (const wrong of [
      { timezone: "Mars/Crater" },
      { timezone: "IST" },
      { timezone: "+5:30" },
      { timezone: "" },
      { domain: "nodots" },
      { dataRegion: "eu" },
      { plan: "enterprise" },
    ])
      await expect(update(wrong)).rejects.toMatchObject({ code: 422 });
    await expect(update({ timezone: "IST" })).rejects.toMatchObject({
      data: {
        errors: [
          {
            path: "timezone",
            message:
              "must be a time zone of the IANA database such as Asia/Kolkata, UTC, or an offset such as +05:30",
          },
        ],
      },
    });
    await expect(update({ name: "B", expectedVersion: 1 })).rejects.toMatchObject({ code: 412 });
    await eventually(async () => (await feedOf(mine)).includes("organization.updated"));
    expect(await auditOf(mine)).toEqual(["organization.updated"]);
  });
});

describe("suspension", () => {
  test("ends tokens, keys and sockets on every node within two seconds, also where nobody told; resuming undoes it", async () => {
    const [admin, bystander] = [await register(), await register()];
    const { key } = await node.call(
      "identity.createApiKey",
      { name: "k", scopes: ["organization:read"] },
      metaOf(admin),
    );
    const credentials = [bearer(admin), { "x-api-key": key ?? "" }];
    const sockets = await Promise.all(gateways().map((origin) => connect(origin, admin)));
    const ends = sockets.map((socket) => new Promise((done) => socket.once("session.revoked", done)));
    for (const origin of gateways())
      for (const headers of credentials) expect(await statusOf(origin, headers)).toBe(200);

    const start = performance.now();
    expect(await suspend(admin)).toMatchObject({ suspendedAt: expect.any(String) });
    await suspend(admin);
    for (const origin of gateways())
      for (const headers of credentials)
        await eventually(async () =>
          ["ORGANIZATION_SUSPENDED", "API_KEY_INVALID"].includes(String(await statusOf(origin, headers))),
        );
    expect(await Promise.all(ends)).toEqual([{ reason: "suspended" }, { reason: "suspended" }]);
    expect(performance.now() - start).toBeLessThan(2_500);
    await expect(login(admin)).rejects.toEqual(refused);
    await expect(node.call("identity.refresh", { refreshToken: admin.refreshToken })).rejects.toEqual(
      refused,
    );
    await expect(connect(originOf(node), admin)).rejects.toThrow("ORGANIZATION_SUSPENDED");
    expect(await statusOf(originOf(node), bearer(bystander))).toBe(200);

    await resume(admin);
    for (const origin of gateways())
      for (const headers of credentials)
        await eventually(async () => (await statusOf(origin, headers)) === 200, 3_000);
    await login(admin);
    await node.call("identity.refresh", { refreshToken: admin.refreshToken });
    (await connect(originOf(node), admin)).close();
    await eventually(async () => (await feedOf(admin)).length === 2);
    expect(await feedOf(admin)).toEqual(["organization.suspended", "organization.resumed"]);
    expect(await auditOf(admin)).toEqual(["organization.suspended", "organization.resumed"]);
  });

  test("lets its jobs wait, at the cost of none of their tries, and run when it ends; others' run on", async () => {
    const [admin, bystander] = [await register(), await register()];
    await suspend(admin);
    await eventually(async () => (await node.runtime.organizations.of(idOf(admin))).isSuspended);
    const add = (organizationId: string, n: number) =>
      node.runtime.database.transaction({ organizationId }, (tx) => {
        tx.enqueue({ task: "probe.work", payload: { n }, maxAttempts: 1 });
        return Promise.resolve();
      });
    await add(idOf(admin), 1);
    await add(idOf(bystander), 2);
    await eventually(() => runs.some(({ n }) => n === 2));
    const waiting = () => node.call("jobs.list", { state: "retrying" }, metaOf(admin));
    const postponed = await eventually(async () => {
      const { data } = await waiting();
      return data.length === 2 && data;
    });
    expect(postponed.map(({ task }) => task).toSorted()).toEqual(["probe.everything", "probe.work"]);
    for (const job of postponed)
      expect(job).toMatchObject({ attempts: 0, lastError: "ORGANIZATION_SUSPENDED" });
    expect(runs.some(({ n }) => n === 1)).toBe(false);
    await resume(admin);
    await eventually(() => runs.some(({ n, organizationId }) => n === 1 && organizationId === idOf(admin)));
    await eventually(async () => (await waiting()).data.length === 0);
  });

  test("and plans are set from the REPL", async () => {
    const admin = await register();
    const command = (...words: string[]) => organizationCommand(node.broker, words);
    expect(await command("suspend", idOf(admin), "did", "not", "pay")).toContain("suspendedAt");
    await expect(login(admin)).rejects.toEqual(refused);
    expect(await command("resume", idOf(admin))).toContain('"suspendedAt": null');
    expect(await command("plan", idOf(admin), "growth")).toContain('"plan": "growth"');
    expect(await command()).toContain("organization suspend");
    await login(admin);
  });
});

describe("deletion", () => {
  const remove = (admin: SignedIn, proof: { password?: string; totp?: string } = {}) =>
    node.call("identity.deleteOrganization", { password, ...proof }, metaOf(admin));
  const erase = async (admin: SignedIn) => {
    await inspect(control(), "UPDATE control.organizations SET deletion_due_at = now() WHERE id = $1", [
      idOf(admin),
    ]);
    await node.broker.call(
      "identity.findErasures",
      { scheduledFor: new Date().toISOString() },
      { meta: system },
    );
  };
  /** Tables, of all databases, with rows of an organization. */
  const holders = async (id: string): Promise<string[]> => {
    const found: string[] = [];
    for (const url of node.databases) {
      const tables = await inspect<{ name: string }>(
        url,
        `SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE n.nspname IN ('public', 'control', 'graphile_worker') AND c.relkind = 'r'`,
      );
      const tests = tables.map(
        ({ name }) =>
          `SELECT '${name}' AS name WHERE EXISTS (SELECT FROM ${name} t WHERE t::text LIKE '%${id}%')`,
      );
      found.push(
        ...(await inspect<{ name: string }>(url, tests.join(" UNION ALL "))).map(({ name }) => name),
      );
    }
    return found;
  };

  test("needs an admin's password, and the second factor where there is one", async () => {
    const admin = await register();
    await expect(remove(admin, { password: "not it at all" })).rejects.toMatchObject({
      type: "INVALID_CREDENTIALS",
    });
    const viewer = { ...metaOf(admin), role: "manager" };
    await expect(node.call("identity.deleteOrganization", { password }, viewer)).rejects.toMatchObject({
      code: 403,
    });
    const { secret } = await node.call("identity.enrollTotp", {}, metaOf(admin));
    const code = (steps: number) =>
      new TOTP({ secret: secret ?? "" }).generate({ timestamp: Date.now() + steps * 30_000 });
    await node.call("identity.verifyTotp", { totp: code(-1) }, metaOf(admin));
    await expect(remove(admin)).rejects.toMatchObject({ type: "MFA_REQUIRED" });
    await expect(remove(admin, { totp: "000000" })).rejects.toMatchObject({ type: "INVALID_CREDENTIALS" });
    const inThirtyDays = Date.now() + 30 * 24 * 3_600_000;
    const { deletionDueAt } = await remove(admin, { totp: code(0) });
    expect(Math.abs(Date.parse(deletionDueAt ?? "") - inThirtyDays)).toBeLessThan(60_000);
    await expect(login(admin, code(1))).rejects.toEqual(refused);
    expect((await restore(admin.user.email, code(1))).organization.deletionDueAt).toBeNull();
  });

  test("suspends at once, and is called off by the sign-in of an admin alone", async () => {
    const [admin, email] = [await register(), newEmail()];
    await node.call("identity.createUser", { name: "R", email, role: "manager", password }, metaOf(admin));
    await expect(restore(admin.user.email)).rejects.toMatchObject({ type: "DELETION_NOT_SCHEDULED" });
    const response = await fetch(`${originOf(node)}/api/v1/organization`, {
      method: "DELETE",
      headers: { ...bearer(admin), "content-type": "application/json" },
      body: JSON.stringify({ password }),
    });
    expect(response.status).toBe(202);
    await eventually(
      async () => (await statusOf(originOf(deaf as TestNode), bearer(admin))) === "ORGANIZATION_SUSPENDED",
    );
    await expect(login(admin)).rejects.toEqual(refused);
    await expect(restore(email)).rejects.toMatchObject({ code: 403, type: "FORBIDDEN" });
    const back = await restore(admin.user.email);
    await eventually(async () => (await statusOf(originOf(node), bearer(back))) === 200);
    await eventually(async () => (await feedOf(back)).length === 2);
    expect(await auditOf(back)).toEqual(["organization.deletion_scheduled", "organization.restored"]);
  });

  test("erases every row, key and job of it in its time, whatever dies, and leaves others and a receipt", async () => {
    const [admin, bystander] = [await register(), await register()];
    for (const one of [admin, bystander]) {
      const meta = metaOf(one);
      await node.call("custom-fields.create", { key: "secret", isSensitive: true }, meta);
      const items = Array.from({ length: 50 }, (_, n) => ({
        firstName: `L${n}`,
        customFields: { secret: `${n}` },
      }));
      await node.call("leads.bulkCreate", { items }, meta);
      const lead = await node.call("leads.create", { firstName: "C", companyName: "Initech" }, meta);
      await node.call("leads.convert", { id: lead.id, createDeal: true }, meta);
      await node.call("identity.createApiKey", { name: "k", scopes: ["leads:read"] }, meta);
    }
    const remaining = await holders(idOf(bystander));
    await remove(admin);
    await node.broker.call(
      "identity.findErasures",
      { scheduledFor: new Date().toISOString() },
      { meta: system },
    );
    expect((await holders(idOf(admin))).length).toBeGreaterThan(10);

    // a table in the way: the first tries end in the middle
    await inspect(control(), "CREATE TABLE control.in_the_way (id uuid REFERENCES control.users (id))");
    await inspect(control(), "INSERT INTO control.in_the_way VALUES ($1)", [admin.user.id]);
    await erase(admin);
    await eventually(async () => {
      const [receipt] = await inspect<{ counts: object }>(
        control(),
        "SELECT counts FROM control.erasure_receipts WHERE organization_id = $1",
        [idOf(admin)],
      );
      return receipt && "control.api_keys" in receipt.counts;
    });
    await expect(restore(admin.user.email)).rejects.toMatchObject({
      code: 409,
      type: "DELETION_NOT_SCHEDULED",
    });
    // it may have to wait for a try that waits for it
    await eventually(() => inspect(control(), "DROP TABLE IF EXISTS control.in_the_way"));
    // at once, in place of the tries to come, and beside them
    const again = () =>
      node.broker.call("identity.eraseOrganization", { organizationId: idOf(admin) }, { meta: system });
    await Promise.all([again(), again()]);
    const receipt = await eventually(async () => {
      const [found] = await inspect<{ requested_by: string; counts: Record<string, number> }>(
        control(),
        "SELECT * FROM control.erasure_receipts WHERE organization_id = $1 AND erased_at IS NOT NULL",
        [idOf(admin)],
      );
      return found;
    }, 15_000);
    expect(receipt).toMatchObject({
      requested_by: admin.user.id,
      counts: { "public.leads": 51, "public.custom_field_values": 50, "control.users": 1 },
    });
    await eventually(async () => {
      const left = await holders(idOf(admin));
      if (left.join() !== "control.erasure_receipts") throw new Error(`left in ${left.join()}`);
      return true;
    });
    // jobs come to their end meanwhile
    const kept = (tables: readonly string[]) => tables.filter((table) => !table.endsWith("_private_jobs"));
    expect(kept(await holders(idOf(bystander)))).toEqual(kept(remaining));
    await expect(login(admin)).rejects.toMatchObject({ type: "INVALID_CREDENTIALS" });
    await login(bystander);
  }, 40_000);
});
