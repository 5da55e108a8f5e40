import { afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { builtInRoles } from "../../mixins/access/principal.ts";
import { knownPermissions } from "../../mixins/access/permissions.ts";
import { contracts } from "../../services/contracts.ts";
import { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";
import { SocketClient } from "../support/realtime.ts";

interface Role {
  id: string;
  name: string;
  permissions: string[];
  sees: string;
  version: number;
}
let node: TestNode;
let admin: Client;
const sockets: SocketClient[] = [];

beforeAll(async () => {
  node = await shareNode();
  admin = await new Client(originOf(node)).register("Roles");
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

const made = async <T>(answer: ReturnType<Client["post"]>): Promise<T> => {
  const { status, body } = await answer;
  if (status >= 300) throw new Error(JSON.stringify(body));
  return body as T;
};
let count = 0;
const newRole = (permissions: string[], sees = "own") =>
  made<Role>(admin.post("/roles", { name: `Role ${++count}`, permissions, sees }));
const refused = (path: string, code: string) => ({
  status: 422,
  body: { errors: [expect.objectContaining({ path, code })] as unknown },
});

describe("roles of an organization", () => {
  test("are listed after the built-in ones, with what each permits", async () => {
    const role = await newRole(["leads:update", "leads:read", "leads:read"], "team");
    expect(role).toMatchObject({ permissions: ["leads:read", "leads:update"], sees: "team", version: 1 });
    const { data } = await made<{ data: Role[] }>(admin.get("/roles"));
    expect(data.slice(0, 4).map(({ id }) => id)).toEqual(["admin", "manager", "sales_rep", "viewer"]);
    expect(data[1]).toMatchObject({ name: "manager", sees: "team", isBuiltIn: true });
    expect(data[1]?.permissions).toContain("leads:delete");
    expect(data).toContainEqual(role);
    expect(await admin.get(`/roles/${role.id}`)).toMatchObject({ status: 200, body: role });
    expect(await admin.get("/roles/viewer")).toMatchObject({ body: { isBuiltIn: true, sees: "all" } });
  });

  test("are made of permissions there are", async () => {
    const answer = await admin.post("/roles", { name: "X", permissions: ["leads:read", "leads:eat"] });
    expect(answer).toMatchObject(refused("permissions.1", "unknown_permission"));
    for (const word of ["session", "public", "authenticated", "system"])
      expect(await admin.post("/roles", { name: "X", permissions: [word] })).toMatchObject({ status: 422 });
  });

  test("have names of their own", async () => {
    const role = await newRole([]);
    const taken = { status: 409, body: { code: "ROLE_NAME_TAKEN" } };
    for (const name of [role.name, role.name.toUpperCase(), "Admin"])
      expect(await admin.post("/roles", { name, permissions: [] })).toMatchObject(taken);
    const other = await newRole([]);
    expect(await admin.send("PATCH", `/roles/${other.id}`, { name: role.name })).toMatchObject(taken);
  });

  test("built-in ones stay as they are", async () => {
    const builtIn = { status: 409, body: { code: "ROLE_BUILT_IN" } };
    expect(await admin.send("PATCH", "/roles/viewer", { permissions: [] })).toMatchObject(builtIn);
    expect(await admin.send("DELETE", "/roles/viewer")).toMatchObject(builtIn);
  });

  test("an admin has every permission there is", () => {
    const has = builtInRoles.get("admin")?.permissions;
    expect([...knownPermissions(contracts)].filter((permission) => !has?.has(permission))).toEqual([]);
  });

  test("are no other organization's", async () => {
    const role = await newRole(["leads:read"]);
    const stranger = await new Client(originOf(node)).register("Others");
    expect(await stranger.get(`/roles/${role.id}`)).toMatchObject({ status: 404 });
    expect(await stranger.send("PATCH", `/roles/${role.id}`, { name: "Mine" })).toMatchObject({
      status: 404,
    });
    expect(await stranger.send("DELETE", `/roles/${role.id}`)).toMatchObject({ status: 404 });
    const invite = { name: "A", email: "a@others.example", role: role.id };
    expect(await stranger.post("/users/invite", invite)).toMatchObject(refused("role", "unknown_role"));
    const { data } = await made<{ data: Role[] }>(stranger.get("/roles"));
    expect(data).toHaveLength(4);
  });

  test("stay while somebody has them", async () => {
    const role = await newRole(["leads:read"]);
    const inUse = { status: 409, body: { code: "ROLE_IN_USE" } };
    const { id } = await made<{ id: string }>(
      admin.post("/users/invite", { name: "A", email: "a@roles.example", role: role.id }),
    );
    expect(await admin.send("DELETE", `/roles/${role.id}`)).toMatchObject(inUse);
    await made(admin.send("DELETE", `/invites/${id}`));
    const user = await admin.addUser(role.id);
    expect(await admin.send("DELETE", `/roles/${role.id}`)).toMatchObject(inUse);
    await made(admin.send("PATCH", `/users/${user.userId}`, { role: "viewer" }));
    expect(await admin.send("DELETE", `/roles/${role.id}`)).toMatchObject({ status: 204 });
    const again = await admin.send("PATCH", `/users/${user.userId}`, { role: role.id });
    expect(again).toMatchObject(refused("role", "unknown_role"));
  });

  test("of a deletion and a user who is given the role at the same time, one succeeds", async () => {
    for (let round = 0; round < 5; round++) {
      const role = await newRole(["leads:read"]);
      const user = await admin.addUser("viewer");
      const [deleted, given] = await Promise.all([
        admin.send("DELETE", `/roles/${role.id}`),
        admin.send("PATCH", `/users/${user.userId}`, { role: role.id }),
      ]);
      expect([
        [204, 422],
        [409, 200],
      ]).toContainEqual([deleted.status, given.status]);
    }
  });

  test("leave a line in the audit log each time", async () => {
    const role = await newRole(["leads:read"]);
    await made(admin.send("PATCH", `/roles/${role.id}`, { sees: "all" }));
    await made(admin.send("DELETE", `/roles/${role.id}`));
    const { data } = await made<{ data: { type: string; subjectId: string }[] }>(
      admin.get("/audit-log?limit=3"),
    );
    expect(data.map(({ type }) => type)).toEqual(["role.deleted", "role.updated", "role.created"]);
    expect(data[0]?.subjectId).toBe(role.id);
  });
});

describe("nobody grants what they do not have", () => {
  let clerk: Client;
  beforeAll(async () => {
    const role = await newRole([
      ...["roles:create", "roles:update", "roles:read", "users:create", "users:update", "users:read"],
      "leads:read",
    ]);
    clerk = await admin.addUser(role.id);
  });

  test("in a role", async () => {
    const make = (body: object) => clerk.post("/roles", { name: `Role ${++count}`, ...body });
    expect(await make({ permissions: ["leads:read", "leads:delete"] })).toMatchObject(
      refused("permissions.1", "not_grantable"),
    );
    expect(await make({ permissions: [], sees: "team" })).toMatchObject(refused("sees", "not_grantable"));
    const role = await made<Role>(make({ permissions: ["leads:read"] }));
    const widen = (body: object) => clerk.send("PATCH", `/roles/${role.id}`, body);
    expect(await widen({ permissions: ["audit-log:read"] })).toMatchObject({ status: 422 });
    expect(await widen({ sees: "all" })).toMatchObject(refused("sees", "not_grantable"));
    expect(await widen({ permissions: ["leads:read", "users:read"] })).toMatchObject({ status: 200 });
    // nor do they touch one that permits more, by now, than they may do
    await made(admin.send("PATCH", `/roles/${role.id}`, { permissions: ["leads:read", "leads:create"] }));
    const beyond = { status: 403, body: { code: "ROLE_NOT_GRANTABLE" } };
    expect(await widen({ permissions: ["leads:read"] })).toMatchObject(beyond);
  });

  test("to a user, an invitation or themselves", async () => {
    const beyond = { status: 403, body: { code: "ROLE_NOT_GRANTABLE" } };
    const person = { name: "P", email: "p@roles.example" };
    for (const role of ["admin", "manager", "sales_rep", "viewer"]) {
      const user = { ...person, role, password: "correct-horse-battery" };
      expect(await clerk.post("/users", user)).toMatchObject(beyond);
      expect(await clerk.post("/users/invite", { ...person, role })).toMatchObject(beyond);
      expect(await clerk.send("PATCH", `/users/${clerk.userId}`, { role })).toMatchObject(beyond);
    }
    const small = await newRole(["leads:read"]);
    expect(await clerk.send("PATCH", `/users/${admin.userId}`, { role: small.id })).toMatchObject(beyond);
    expect(await clerk.post("/users/invite", { ...person, role: small.id })).toMatchObject({ status: 202 });
  });

  test("with an API key of somebody who may do more", async () => {
    const { key } = await made<{ key: string }>(
      admin.post("/api-keys", { name: "k", scopes: ["users:create", "leads:read"] }),
    );
    const create = (role: string) =>
      new Client(originOf(node)).post(
        "/users",
        { name: "K", email: `k${++count}@roles.example`, role, password: "correct-horse-battery" },
        { "x-api-key": key },
      );
    expect(await create("admin")).toMatchObject({ status: 403, body: { code: "ROLE_NOT_GRANTABLE" } });
    expect(await create((await newRole(["leads:read"])).id)).toMatchObject({ status: 201 });
  });
});

describe("a user with a custom role", () => {
  test("may do exactly what it permits, and sees the records it shows", async () => {
    const role = await newRole(["leads:read", "leads:create", "events:read"]);
    const user = await admin.addUser(role.id);
    const me = await made<{ user: { role: string }; permissions: string[] }>(user.get("/auth/me"));
    expect(me).toMatchObject({ user: { role: role.id }, permissions: role.permissions });
    const theirs = await made<{ id: string }>(admin.post("/leads", { firstName: "Theirs" }));
    const own = await made<{ id: string; assignedTo: string }>(user.post("/leads", { firstName: "Own" }));
    expect(own.assignedTo).toBe(user.userId);
    const { data } = await made<{ data: { id: string }[] }>(user.get("/leads"));
    expect(data.map(({ id }) => id)).toEqual([own.id]);
    expect(await user.get(`/leads/${theirs.id}`)).toMatchObject({ status: 404 });
    expect(await user.send("PATCH", `/leads/${own.id}`, { firstName: "X" })).toMatchObject({ status: 403 });
    expect(await user.get("/users")).toMatchObject({ status: 403 });
    expect(await user.get("/roles")).toMatchObject({ status: 403 });
  });

  test("of a team's reach sees no more than its own leads and unassigned ones until it manages a team", async () => {
    const user = await admin.addUser((await newRole(["leads:read"], "team")).id);
    const rep = await admin.addUser("sales_rep");
    const lead = await made<{ id: string }>(
      admin.post("/leads", { firstName: "Rep's", assignedTo: rep.userId }),
    );
    expect(await user.get(`/leads/${lead.id}`)).toMatchObject({ status: 404 });
    await made(admin.post("/teams", { name: "Lead", managerIds: [user.userId], memberIds: [rep.userId] }));
    await eventually(async () => (await user.get(`/leads/${lead.id}`)).status === 200, 2_000);
  });

  test("has the new rights within two seconds of a change, on HTTP, with an API key and on an open socket", async () => {
    const role = await newRole(["leads:read", "events:read", "api-keys:create"], "own");
    const user = await admin.addUser(role.id);
    const { key } = await made<{ key: string }>(
      user.post("/api-keys", { name: "k", scopes: ["leads:read", "events:read"] }),
    );
    const byKey = () => new Client(originOf(node)).get("/leads", { "x-api-key": key });
    const follow = async (client: Client) => {
      const socket = new SocketClient(client.origin, client.token ?? "");
      sockets.push(socket);
      await socket.connected();
      expect(await socket.send("subscribe", {})).toMatchObject({ ok: true });
      return socket;
    };
    const [socket, watcher] = [await follow(user), await follow(admin)];
    const heard = ({ id }: { id: string }, by = socket) => by.events.some(({ entity }) => entity.id === id);
    /** A lead whose event has passed every socket. */
    const lead = async () => {
      const captured = await made<{ id: string }>(admin.post("/leads", { firstName: "L" }));
      await eventually(() => heard(captured, watcher));
      return captured;
    };
    const change = (body: object) => made(admin.send("PATCH", `/roles/${role.id}`, body));

    const unseen = await lead();
    await change({ sees: "all" });
    await eventually(async () => (await user.get(`/leads/${unseen.id}`)).status === 200, 2_000);
    await eventually(async () => heard(await lead()), 2_000);
    expect(heard(unseen)).toBe(false);
    expect(await byKey()).toMatchObject({ status: 200 });

    await change({ permissions: ["events:read", "api-keys:create"] });
    await eventually(async () => (await user.get("/leads")).status === 403, 2_000);
    await eventually(async () => (await byKey()).status === 403, 2_000);
    await eventually(async () => !heard(await lead()), 2_000);
    const gone = await lead();
    await change({ permissions: ["leads:read", "events:read", "api-keys:create"] });
    await eventually(async () => heard(await lead()), 2_000);
    expect(heard(gone)).toBe(false);

    await change({ permissions: ["leads:read"] });
    await eventually(async () => (await socket.send("subscribe", {})).ok === false, 2_000);
  });

  test("has the new rights within two seconds and a bit of a change that nobody was told of", async () => {
    const role = await newRole(["leads:read"]);
    const user = await admin.addUser(role.id);
    expect(await user.get("/leads")).toMatchObject({ status: 200 });
    await inspect(
      node.databases[0] as string,
      "UPDATE control.roles SET permissions = '{}', version = version + 1 WHERE id = $1",
      [role.id],
    );
    await eventually(async () => (await user.get("/leads")).status === 403, 2_500);
  });
});
