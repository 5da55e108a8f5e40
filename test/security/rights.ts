import { knownPermissions } from "../../mixins/access/permissions.ts";
import { contracts } from "../../services/contracts.ts";
import { Client, type Answer } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { shardUrl } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, startTestNode, type TestNode } from "../support/node.ts";
import { useSaml } from "../support/saml.ts";

/** What somebody tries on a person or a right that is beyond them. It makes what it needs, as the admin, each time anew. */
interface Attempt {
  by(staff: Staff, principal: Client): Promise<Answer>;
  /** Whom it is refused to; default both. */
  only: "narrow" | "near" | undefined;
}
const attempt = (by: Attempt["by"], only?: Attempt["only"]): Attempt => ({ by, only });

const password = "correct-horse-battery";
let count = 0;
const unique = (name: string) => `${name} ${++count}`;
const newEmail = () => `rights-${++count}@test.example`;

/** An organization, its admin, and two users with roles that nearly permit as much. */
export class Staff {
  readonly node: TestNode;
  readonly admin: Client;
  /** Sees everything and may do everything, but export reports. */
  narrow!: Client;
  /** May do everything, and sees its own records alone. */
  near!: Client;

  private constructor(node: TestNode, admin: Client) {
    this.node = node;
    this.admin = admin;
  }

  static async hire(): Promise<Staff> {
    const node = await startTestNode({ DEV_OUTBOX: "true" });
    const staff = new Staff(node, await new Client(originOf(node)).register("Rights"));
    const all = [...knownPermissions(contracts)];
    const hire = async (name: string, permissions: string[], sees: string) =>
      staff.admin.addUser(await staff.made("/roles", { name, permissions, sees }));
    const narrow = all.filter((permission) => permission !== "reports:export");
    staff.narrow = await hire("Narrow", narrow, "all");
    staff.near = await hire("Near", all, "own");
    return staff;
  }

  /** Makes something as the admin; answers its id. */
  async made(path: string, body: object): Promise<string> {
    const answer = await this.admin.post(path, body);
    if (answer.status >= 300) throw new Error(`${path}: ${JSON.stringify(answer.body)}`);
    return (answer.body as { id: string }).id;
  }

  otherAdmin = () => this.admin.addUser("admin");
  rep = async () => (await this.admin.addUser("sales_rep")).userId;
  /** A role with a right that neither has, each for a reason of its own. */
  strongRole = () =>
    this.made("/roles", { name: unique("Strong"), permissions: ["reports:export"], sees: "all" });
  strongInvite = (email = newEmail()) => this.made("/users/invite", { name: "S", email, role: "admin" });
  team = async () => this.made("/teams", { name: unique("Team"), memberIds: [await this.rep()] });
  pool = async () => this.made("/assignment-pools", await this.newPool());
  newPool = async () => ({
    ...{ name: unique("Pool"), strategy: "round_robin" },
    // wants no lead by itself
    criteria: [{ field: "source", op: "eq", value: "never" }],
    members: [{ userId: await this.rep() }],
  });

  async archive(): Promise<string> {
    const id = await this.made("/privacy/exports", { scope: "organization" });
    await eventually(
      async () =>
        ((await this.admin.get(`/privacy/requests/${id}`)).body as { status: string }).status === "completed",
      30_000,
    );
    return id;
  }

  /** A job of the organization that has failed for good. */
  async deadJob(): Promise<string> {
    const runAt = new Date(Date.now() + 3_600_000);
    const { organizationId } = this.admin;
    await this.node.runtime.database.transaction({ organizationId }, (tx) => {
      tx.enqueue({ task: "leads.rescore", payload: {}, runAt });
      return Promise.resolve();
    });
    const [job] = await inspect<{ id: string }>(
      shardUrl(this.node, organizationId),
      `UPDATE graphile_worker._private_jobs SET attempts = max_attempts
        WHERE run_at > now() + interval '50 minutes' AND attempts < max_attempts RETURNING id::text`,
    );
    return (job as { id: string }).id;
  }
}

const changeUser = (body: object) =>
  attempt(async (staff, principal) =>
    principal.send("PATCH", `/users/${(await staff.otherAdmin()).userId}`, body),
  );
const changeRole = (body: object) =>
  attempt(async (staff, principal) => principal.send("PATCH", `/roles/${await staff.strongRole()}`, body));
const personOf = () => ({ email: newEmail() });

/** Every action that touches a person or a right, with what it must refuse to who may do less. */
export const attempts: Record<string, Record<string, Attempt>> = {
  "identity.createUser": {
    "an admin": attempt((_staff, principal) =>
      principal.post("/users", { name: "X", email: newEmail(), role: "admin", password }),
    ),
  },
  "identity.updateUser": {
    "renaming an admin": changeUser({ name: "X" }),
    "deactivating an admin": changeUser({ isActive: false }),
    "demoting an admin": changeUser({ role: "viewer" }),
    "making oneself admin": attempt((_staff, principal) =>
      principal.send("PATCH", `/users/${principal.userId}`, { role: "admin" }),
    ),
    "activating an admin": attempt(async (staff, principal) => {
      const { userId } = await staff.otherAdmin();
      await staff.admin.send("PATCH", `/users/${userId}`, { isActive: false });
      return principal.send("PATCH", `/users/${userId}`, { isActive: true });
    }),
  },
  "identity.resetUserMfa": {
    "of an admin": attempt(async (staff, principal) => {
      const other = await staff.otherAdmin();
      await inspect(
        staff.node.databases[0] as string,
        `INSERT INTO control.totp_factors (organization_id, user_id, sealed_secret, confirmed_at, created_at)
          VALUES ($1, $2, '', now(), now())`,
        [other.organizationId, other.userId],
      );
      return principal.send("DELETE", `/users/${other.userId}/mfa`);
    }),
  },
  "identity.inviteUser": {
    "an admin": attempt((_staff, principal) =>
      principal.post("/users/invite", { name: "X", email: newEmail(), role: "admin" }),
    ),
    "replacing an invitation of an admin": attempt(async (staff, principal) => {
      const email = newEmail();
      await staff.strongInvite(email);
      const role = await staff.made("/roles", { name: unique("Small"), permissions: [], sees: "own" });
      return principal.post("/users/invite", { name: "X", email, role });
    }),
  },
  "identity.revokeInvite": {
    "of an admin": attempt(async (staff, principal) =>
      principal.send("DELETE", `/invites/${await staff.strongInvite()}`),
    ),
  },
  "identity.createRole": {
    "of more than the caller has": attempt((_staff, principal) =>
      principal.post("/roles", { name: unique("New"), permissions: ["reports:export"], sees: "all" }),
    ),
  },
  "identity.updateRole": {
    "emptying a stronger one": changeRole({ permissions: [], sees: "own" }),
    "renaming a stronger one": changeRole({ name: "Renamed" }),
    "widening one's own": attempt(async (staff, principal) => {
      const id = await staff.made("/roles", { name: unique("Own"), permissions: [], sees: "own" });
      return principal.send("PATCH", `/roles/${id}`, { permissions: ["reports:export"], sees: "all" });
    }),
  },
  "identity.deleteRole": {
    "a stronger one": attempt(async (staff, principal) =>
      principal.send("DELETE", `/roles/${await staff.strongRole()}`),
    ),
  },
  "identity.createApiKey": {
    "with a scope the caller has not": attempt(
      (_staff, principal) => principal.post("/api-keys", { name: "k", scopes: ["reports:export"] }),
      "narrow",
    ),
  },
  "identity.replaceFederation": {
    "trusting addresses for everybody": attempt((_staff, principal) =>
      principal.send("PUT", "/organization/federation", { linksByEmail: true }),
    ),
    "taking away what signs admins in": attempt(async (staff, principal) => {
      await staff.admin.send("PUT", "/organization/federation", { linksByEmail: true });
      return principal.send("PUT", "/organization/federation", {});
    }),
    "SAML for everybody": attempt((_staff, principal) => useSaml(principal)),
    "SAML for admins": attempt((_staff, principal) => useSaml(principal, { roles: ["viewer", "admin"] })),
  },
  "teams.create": {
    "with the caller as manager of anybody": attempt(
      async (staff, principal) =>
        principal.post("/teams", {
          name: unique("T"),
          managerIds: [principal.userId],
          memberIds: [await staff.rep()],
        }),
      "near",
    ),
  },
  "teams.update": {
    "of people the caller does not see": attempt(
      async (staff, principal) =>
        principal.send("PATCH", `/teams/${await staff.team()}`, { name: unique("T") }),
      "near",
    ),
    "adding the caller as manager": attempt(
      async (staff, principal) =>
        principal.send("PATCH", `/teams/${await staff.team()}`, { managerIds: [principal.userId] }),
      "near",
    ),
    "adding people to the caller's own": attempt(async (staff, principal) => {
      const id = await staff.made("/teams", { name: unique("T"), managerIds: [principal.userId] });
      return principal.send("PATCH", `/teams/${id}`, { memberIds: [await staff.rep()] });
    }, "near"),
  },
  "teams.remove": {
    "of people the caller does not see": attempt(
      async (staff, principal) => principal.send("DELETE", `/teams/${await staff.team()}`),
      "near",
    ),
  },
  "leads.createPool": {
    "that gives every new lead to the caller": attempt(
      async (staff, principal) =>
        principal.post("/assignment-pools", {
          ...(await staff.newPool()),
          members: [{ userId: principal.userId }],
        }),
      "near",
    ),
  },
  "leads.updatePool": {
    "of people the caller does not see": attempt(
      async (staff, principal) =>
        principal.send("PATCH", `/assignment-pools/${await staff.pool()}`, {
          members: [{ userId: principal.userId }],
        }),
      "near",
    ),
  },
  "leads.removePool": {
    "of people the caller does not see": attempt(
      async (staff, principal) => principal.send("DELETE", `/assignment-pools/${await staff.pool()}`),
      "near",
    ),
  },
  "privacy.createExport": {
    "of the organization": attempt(
      (_staff, principal) => principal.post("/privacy/exports", { scope: "organization" }),
      "near",
    ),
    "of a person": attempt((_staff, principal) => principal.post("/privacy/exports", personOf()), "near"),
  },
  "privacy.createErasure": {
    "of a person": attempt(
      (_staff, principal) => principal.post("/privacy/erasures", { ...personOf(), reason: "asked" }),
      "near",
    ),
    "of an admin": attempt(async (staff, principal) => {
      const { userId } = await staff.otherAdmin();
      return principal.post("/privacy/erasures", { subject: { kind: "user", id: userId }, reason: "asked" });
    }),
  },
  "privacy.downloadArchive": {
    "that an admin asked for": attempt(
      async (staff, principal) => principal.get(`/privacy/requests/${await staff.archive()}/archive`),
      "near",
    ),
  },
  "privacy.setRetention": {
    "of anybody's records": attempt(
      (_staff, principal) => principal.send("PATCH", "/privacy/retention", { days: { "leads.leads": 400 } }),
      "near",
    ),
  },
  "jobs.list": {
    "of anybody's records": attempt((_staff, principal) => principal.get("/jobs"), "near"),
  },
  "jobs.get": {
    "of anybody's records": attempt(
      async (staff, principal) => principal.get(`/jobs/${await staff.deadJob()}`),
      "near",
    ),
  },
  "jobs.retry": {
    "of anybody's records": attempt(
      async (staff, principal) => principal.post(`/jobs/${await staff.deadJob()}/retry`),
      "near",
    ),
  },
  "jobs.drop": {
    "of anybody's records": attempt(
      async (staff, principal) => principal.send("DELETE", `/jobs/${await staff.deadJob()}`),
      "near",
    ),
  },
  "identity.deleteOrganization": {
    // an admin's would end the test: organization-life.test.ts has it
    "for everybody": attempt((staff, principal) =>
      principal === staff.admin
        ? principal.get("/organization")
        : principal.send("DELETE", "/organization", { password }),
    ),
  },
};
