import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { builtInRoles } from "../../mixins/access/principal.ts";
import { knownPermissions } from "../../mixins/access/permissions.ts";
import type { ActionSpec } from "../../mixins/contract/contract.ts";
import { contracts } from "../../services/contracts.ts";
import type { Answer, Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { ofRecords, reachNobody } from "./reach-nobody.ts";
import { attempts, Staff } from "./rights.ts";

let staff: Staff;
beforeAll(async () => {
  staff = await Staff.hire();
});
afterAll(() => staff.node.stop());

const refusals = ["ROLE_NOT_GRANTABLE", "BEYOND_SIGHT", "FORBIDDEN"];
const isRefused = ({ status, body }: Answer) => {
  const { code, errors = [] } = body as { code?: string; errors?: { code: string }[] };
  if (status === 403) return refusals.includes(code ?? "");
  return status === 422 && errors.some((error) => error.code === "not_grantable");
};

test("every action that a user may call says what it does to people and rights", () => {
  const known = new Set([...Object.keys(attempts), ...Object.keys(reachNobody)]);
  const callable = contracts.flatMap(({ name, actions }) =>
    Object.entries<ActionSpec>(actions)
      .filter(([, { permission }]) => permission !== "public" && permission !== "system")
      .filter(([, { permission }]) => !ofRecords.test(permission))
      .map(([action]) => `${name}.${action}`),
  );
  expect(callable.filter((action) => !known.has(action))).toEqual([]);
  expect([...known].filter((action) => !callable.includes(action))).toEqual([]);
});

describe.each(Object.entries(attempts))("%s", (_action, cases) => {
  test.each(Object.entries(cases))(
    "%s: is refused to who may do less, and done for an admin",
    async (_name, attempt) => {
      const weaker = attempt.only ? [staff[attempt.only]] : [staff.narrow, staff.near];
      for (const principal of weaker) {
        const answer = await attempt.by(staff, principal);
        if (!isRefused(answer)) expect(answer).toBe("refused");
      }
      const answer = await attempt.by(staff, staff.admin);
      if (answer.status >= 300) expect(answer).toBe("done");
    },
  );
});

describe("who may do less than somebody", () => {
  const may = async (answering: Promise<Answer>) => {
    const answer = await answering;
    if (answer.status >= 300) expect(answer).toBe("done");
    return answer.body as { id: string };
  };
  const role = (permissions: string[], sees: string) =>
    may(staff.admin.post("/roles", { name: `R${Math.random()}`, permissions, sees }));

  test("still does it to who may do no more than they", async () => {
    const small = await role(["leads:read"], "own");
    const user = await staff.admin.addUser(small.id);
    await may(staff.narrow.send("PATCH", `/users/${user.userId}`, { name: "Renamed" }));
    await may(staff.narrow.send("PATCH", `/users/${user.userId}`, { isActive: false }));
    await may(staff.narrow.send("PATCH", `/roles/${small.id}`, { permissions: [] }));
    await may(staff.near.send("PATCH", `/users/${staff.near.userId}`, { name: "Myself" }));
  });

  test("makes managers of the people whose records they see, and of nobody else", async () => {
    const lead = await staff.admin.addUser(
      (await role(["teams:create", "teams:update", "teams:delete"], "team")).id,
    );
    const [own, other] = [await staff.admin.addUser("sales_rep"), await staff.admin.addUser("sales_rep")];
    await may(
      staff.admin.post("/teams", { name: "Lead's", managerIds: [lead.userId], memberIds: [own.userId] }),
    );
    const make = (name: string, memberIds: string[], managerIds = [lead.userId]) =>
      lead.post("/teams", { name, managerIds, memberIds });
    const made = await eventually(async () => {
      const answer = await make("Sub", [own.userId]);
      return answer.status === 201 && (answer.body as { id: string });
    }, 3_000);
    const beyond = { status: 403, body: { code: "BEYOND_SIGHT" } };
    expect(await make("Spy", [other.userId])).toMatchObject(beyond);
    expect(await make("Gift", [own.userId], [other.userId])).toMatchObject(beyond);
    const patch = (body: object) => lead.send("PATCH", `/teams/${made.id}`, body);
    expect(await patch({ memberIds: [other.userId] })).toMatchObject(beyond);
    await may(staff.admin.send("PATCH", `/teams/${made.id}`, { memberIds: [own.userId, other.userId] }));
    await eventually(async () => (await patch({ name: "Sub 2" })).status === 200, 3_000);
  });

  test("gives nobody the built-in role of managers, who see everything while there are no teams", async () => {
    const known = knownPermissions(contracts);
    const ofManager = [...(builtInRoles.get("manager")?.permissions ?? [])].filter((one) => known.has(one));
    const maker = await staff.admin.addUser((await role([...ofManager, "users:create"], "team")).id);
    const invited = maker.post("/users/invite", { name: "M", email: "m@rights.example", role: "manager" });
    expect(await invited).toMatchObject({ status: 403, body: { code: "ROLE_NOT_GRANTABLE" } });
    await may(maker.post("/users/invite", { name: "M", email: "m@rights.example", role: "sales_rep" }));
  });

  test("with an API key of an admin changes nobody beyond its scopes", async () => {
    const { key } = (await may(
      staff.admin.post("/api-keys", { name: "k", scopes: ["users:update", "users:read"] }),
    )) as unknown as { key: string };
    const program: Client = staff.admin.withApiKey(key);
    const viewer = await staff.admin.addUser("viewer");
    for (const { userId } of [staff.admin, viewer])
      expect(isRefused(await program.send("PATCH", `/users/${userId}`, { name: "X" }))).toBe(true);
  });
});
