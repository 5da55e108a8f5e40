import { describe, expect, test } from "@jest/globals";
import type { Meta } from "../../mixins/contract/meta.ts";
import { inspect } from "../support/database.ts";
import {
  hasEnded,
  hire,
  login,
  metaOf,
  newEmail,
  node,
  password,
  refusal,
  register,
  useIdentity,
} from "../support/identity.ts";
import { eventually } from "../support/eventually.ts";

useIdentity();

test("a user learns who they are and what they may do", async () => {
  const admin = await register();
  const viewer = await hire(admin, "viewer");
  const { user, organization, permissions } = await node.call("identity.me", {}, metaOf(viewer));
  expect(user).toMatchObject({ id: viewer.user.id, role: "viewer" });
  expect(organization).toEqual(admin.organization);
  expect(permissions).toContain("leads:read");
  expect(permissions).not.toContain("leads:create");
});

describe("users", () => {
  test("are added by admins only, with an email that no colleague has", async () => {
    const admin = await register();
    const stranger = await register();
    const email = newEmail();
    const newUser = { name: "Ravi", email, role: "manager", password } as const;
    const made = await node.call("identity.createUser", newUser, metaOf(admin));
    expect(made).toMatchObject({
      name: "Ravi",
      email,
      role: "manager",
      isActive: true,
      lastLoginAt: null,
      version: 1,
    });
    expect(await node.call("identity.getUser", { id: made.id }, metaOf(admin))).toEqual(made);
    const manager = await login(email);
    const attempts: [Meta, string, ReturnType<typeof refusal>][] = [
      [metaOf(admin), email, refusal(409, "EMAIL_TAKEN")],
      [metaOf(manager), newEmail(), refusal(403, "FORBIDDEN")],
    ];
    for (const [meta, address, expected] of attempts) {
      const attempt = node.call("identity.createUser", { ...newUser, email: address }, meta);
      await expect(attempt).rejects.toEqual(expected);
    }
    const elsewhere = await node.call("identity.createUser", newUser, metaOf(stranger));
    expect(elsewhere).toMatchObject({ email, emailVerifiedAt: null, version: 1 });
    const guessed = node.call("identity.createUser", { ...newUser, password: "qwertyuiop" }, metaOf(admin));
    await expect(guessed).rejects.toEqual(refusal(422, "VALIDATION_FAILED"));
  });

  test("are listed by pages, filters, fields and count", async () => {
    const admin = await register();
    for (const role of ["viewer", "viewer", "manager"] as const)
      await node.call(
        "identity.createUser",
        { name: role, email: newEmail(), role, password },
        metaOf(admin),
      );
    const first = await node.call("identity.listUsers", { limit: 3, count: "true" }, metaOf(admin));
    expect(first.page).toMatchObject({ hasMore: true, total: 4 });
    expect(first.data[0]).toEqual(admin.user);
    const cursor = first.page.nextCursor ?? "";
    const rest = await node.call("identity.listUsers", { limit: 3, cursor }, metaOf(admin));
    expect(rest).toMatchObject({ data: [{ name: "manager" }], page: { hasMore: false, nextCursor: null } });
    const viewers = await node.call(
      "identity.listUsers",
      { filter: { role: "viewer", isActive: "true" }, fields: "name", sort: "-createdAt" },
      metaOf(admin),
    );
    expect(viewers.data).toEqual([
      { id: expect.any(String), name: "viewer" },
      { id: expect.any(String), name: "viewer" },
    ]);
  });

  test("never appear to another organization", async () => {
    const [ours, theirs] = await Promise.all([register(), register()]);
    const { data } = await node.call("identity.listUsers", {}, metaOf(ours));
    expect(data.map((user) => user.id)).toEqual([ours.user.id]);
    const { id } = theirs.user;
    const attempts = await Promise.allSettled([
      node.call("identity.getUser", { id }, metaOf(ours)),
      node.call("identity.updateUser", { id, name: "Mallory" }, metaOf(ours)),
      node.call("identity.updateUser", { id, isActive: false }, metaOf(ours)),
    ]);
    const refused = { status: "rejected", reason: refusal(404, "USER_NOT_FOUND") };
    expect(attempts).toEqual([refused, refused, refused]);
    expect(await node.call("identity.activeUserIds", { ids: [id, ours.user.id] }, metaOf(ours))).toEqual([
      ours.user.id,
    ]);
    expect(await node.call("identity.getUser", { id }, metaOf(theirs))).toEqual(theirs.user);
  });

  test("change at the version the caller saw, or not at all", async () => {
    const admin = await register();
    const { id } = admin.user;
    const renamed = await node.call(
      "identity.updateUser",
      { id, name: "Usha", expectedVersion: 1 },
      metaOf(admin),
    );
    expect(renamed).toMatchObject({ name: "Usha", role: "admin", version: 2 });
    const late = node.call("identity.updateUser", { id, name: "Isha", expectedVersion: 1 }, metaOf(admin));
    await expect(late).rejects.toMatchObject({ code: 412, data: { version: 2 } });
    expect(await node.call("identity.getUser", { id }, metaOf(admin))).toEqual(renamed);
    expect(hasEnded(admin)).toBe(false);
  });

  test.each([
    ["deactivated", { isActive: false }],
    ["given another role", { role: "viewer" }],
  ] as const)("that are %s lose their sessions", async (_case, change) => {
    const admin = await register();
    const colleague = await hire(admin, "manager");
    const { id } = colleague.user;
    const changed = await node.call("identity.updateUser", { id, ...change }, metaOf(admin));
    expect(changed).toMatchObject({ ...change, version: 2 });
    await eventually(() => hasEnded(colleague));
    const attempt = node.call("identity.refresh", { refreshToken: colleague.refreshToken });
    await expect(attempt).rejects.toEqual(refusal(401, "INVALID_REFRESH_TOKEN"));
  });

  test("that are inactive are not active user ids, until they are active again", async () => {
    const admin = await register();
    const { user } = await hire(admin, "viewer");
    const ids = [user.id];
    expect(await node.call("identity.activeUserIds", { ids }, metaOf(admin))).toEqual(ids);
    await node.call("identity.updateUser", { id: user.id, isActive: false }, metaOf(admin));
    expect(await node.call("identity.activeUserIds", { ids }, metaOf(admin))).toEqual([]);
    await node.call("identity.updateUser", { id: user.id, isActive: true }, metaOf(admin));
    expect(await login(user.email)).toMatchObject({ user: { id: user.id } });
  });
});

describe("the last active admin", () => {
  test.each([{ isActive: false }, { role: "manager" }] as const)(
    "cannot be changed by %j",
    async (change) => {
      const admin = await register();
      await hire(admin, "manager");
      const attempt = node.call("identity.updateUser", { id: admin.user.id, ...change }, metaOf(admin));
      await expect(attempt).rejects.toEqual(refusal(409, "LAST_ADMIN"));
    },
  );

  test("remains when all admins step down or demote each other at once", async () => {
    const admin = await register();
    const admins = [admin, ...(await Promise.all([1, 2, 3].map(() => hire(admin, "admin"))))];
    const attempts = await Promise.allSettled(
      admins.flatMap((one, index) => [
        node.call("identity.updateUser", { id: one.user.id, role: "viewer" }, metaOf(one)),
        node.call(
          "identity.updateUser",
          { id: admins[(index + 1) % 4]?.user.id ?? "", isActive: false },
          metaOf(one),
        ),
      ]),
    );
    const refused = attempts.filter((attempt) => attempt.status === "rejected");
    for (const attempt of refused) expect(attempt.reason).toEqual(refusal(409, "LAST_ADMIN"));
    const left = await inspect(
      node.databases[0] ?? "",
      "SELECT FROM control.users WHERE organization_id = $1 AND role = 'admin' AND is_active",
      [admin.organization.id],
    );
    expect(left).toHaveLength(1);
  });
});

describe("the organization", () => {
  test("is read by all its users and renamed by its admins at the version they saw", async () => {
    const admin = await register();
    const viewer = await hire(admin, "viewer");
    expect(await node.call("identity.getOrganization", {}, metaOf(viewer))).toEqual(admin.organization);
    const refused = node.call("identity.updateOrganization", { name: "Mine" }, metaOf(viewer));
    await expect(refused).rejects.toEqual(refusal(403, "FORBIDDEN"));
    const renamed = await node.call(
      "identity.updateOrganization",
      { name: "Acme 2", expectedVersion: 1 },
      metaOf(admin),
    );
    expect(renamed).toMatchObject({ id: admin.organization.id, name: "Acme 2", version: 2 });
    const late = node.call(
      "identity.updateOrganization",
      { name: "Acme 3", expectedVersion: 1 },
      metaOf(admin),
    );
    await expect(late).rejects.toEqual(refusal(412, "VERSION_MISMATCH"));
  });
});
