import { afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";
import { SocketClient } from "../support/realtime.ts";

// who sees whose leads, over HTTP and sockets: a manager of one of two teams, its members, and others
interface Lead {
  id: string;
  assignedTo: string | null;
  version: number;
}
interface Listed {
  data: Lead[];
  page: { total: number };
}
type Owner = "anil" | "bina" | "chitra" | "nobody" | "meera";

let node: TestNode;
let admin: Client;
let viewer: Client;
let team: { id: string };
const staff = {} as Record<Exclude<Owner, "nobody">, Client>;
const leads = {} as Record<Owner, Lead>;
const sockets: SocketClient[] = [];

const made = async <T>(answer: ReturnType<Client["post"]>): Promise<T> => {
  const { status, body } = await answer;
  if (status >= 300) throw new Error(JSON.stringify(body));
  return body as T;
};
const newLead = (owner: Owner, more: Record<string, unknown> = {}) =>
  made<Lead>(
    admin.post("/leads", {
      ...{ firstName: owner, email: "shared@example.com", companyName: "Acme" },
      ...(owner === "nobody" ? {} : { assignedTo: staff[owner].userId }),
      ...more,
    }),
  );
const ownersSeenBy = async (client: Client, path = "/leads?limit=200") => {
  const { data } = await made<Listed>(client.get(path));
  return Object.entries(leads)
    .filter(([, { id }]) => data.some((lead) => lead.id === id))
    .map(([owner]) => owner);
};

beforeAll(async () => {
  node = await shareNode();
  admin = await new Client(originOf(node)).register("Sight");
  viewer = await admin.addUser("viewer");
  staff.meera = await admin.addUser("manager");
  for (const name of ["anil", "bina", "chitra"] as const) staff[name] = await admin.addUser("sales_rep");
  for (const owner of ["anil", "bina", "chitra", "nobody", "meera"] as const)
    leads[owner] = await newLead(owner);
});
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.close();
});

async function follow(client: Client): Promise<SocketClient> {
  const socket = new SocketClient(client.origin, client.token ?? "");
  sockets.push(socket);
  await socket.connected();
  expect(await socket.send("subscribe", {})).toMatchObject({ ok: true });
  return socket;
}
const typing = (lead: Lead) => ({ entity: { kind: "lead", id: lead.id }, isTyping: true });
const typed = (socket: SocketClient) => socket.others.filter(([name]) => name === "typing").length;
const mentions = (socket: SocketClient, lead: Lead) =>
  socket.events.filter(({ entity }) => entity.id === lead.id).map(({ type }) => type);

test("while there are no teams a manager sees every lead", async () => {
  expect(await ownersSeenBy(staff.meera)).toHaveLength(5);
});

describe("with teams", () => {
  const seen = ["anil", "bina", "nobody", "meera"] as const;
  const hidden = "chitra";

  beforeAll(async () => {
    team = await made(
      admin.post("/teams", {
        name: "North",
        managerIds: [staff.meera.userId],
        memberIds: [staff.anil.userId, staff.bina.userId],
      }),
    );
    await made(admin.post("/teams", { name: "South", memberIds: [staff.chitra.userId] }));
  });

  test("lists, counts, searches and exports hold the leads of the manager's teams, unassigned ones and the manager's own", async () => {
    for (const path of ["/leads?limit=200", "/leads?q=Acme", "/leads?filter[email]=shared@example.com"])
      expect(await ownersSeenBy(staff.meera, path)).toEqual(seen);
    const { page } = await made<Listed>(staff.meera.get("/leads?count=true&limit=1"));
    expect(page.total).toBe(4);
    const csv = (await staff.meera.get("/leads/export?fields=id")).body as string;
    for (const owner of seen) expect(csv).toContain(leads[owner].id);
    expect(csv).not.toContain(leads[hidden].id);
  });

  test("an export is noted in the audit log, without what was looked for", async () => {
    await staff.meera.get("/leads/export?filter[email]=shared@example.com");
    const { data } = await made<{ data: unknown[] }>(
      admin.get("/audit-log?filter[type]=leads.exported&limit=1"),
    );
    expect(data).toMatchObject([
      { actorId: staff.meera.userId, details: { format: "csv", filteredBy: ["email"] } },
    ]);
  });

  test("duplicates name only leads the manager sees", async () => {
    const { data } = await made<{ data: { record: Lead }[] }>(
      staff.meera.get(`/leads/${leads.anil.id}/duplicates`),
    );
    expect(data.map(({ record }) => record.id).sort()).toEqual(
      [leads.bina, leads.nobody, leads.meera].map(({ id }) => id).sort(),
    );
  });

  test.each([
    ["GET", "", undefined],
    ["PATCH", "", { firstName: "Mine" }],
    ["DELETE", "", undefined],
    ["POST", "/assign", { userId: "anil" }],
    ["POST", "/convert", {}],
    ["POST", "/restore", undefined],
    ["GET", "/timeline", undefined],
    ["GET", "/duplicates", undefined],
    ["GET", "/reminders", undefined],
    ["POST", "/reminders", { remindAt: "2030-01-01T00:00:00.000Z" }],
  ])("%s of another team's lead%s is refused as if there were none", async (method, path, body) => {
    const sent = body && "userId" in body ? { userId: staff.anil.userId } : body;
    const answer = await staff.meera.send(method, `/leads/${leads[hidden].id}${path}`, sent);
    expect(answer).toMatchObject({ status: 404, body: { code: "LEAD_NOT_FOUND" } });
  });

  test("an upsert of another team's external id is refused as if there were none", async () => {
    await newLead(hidden, { externalId: "theirs" });
    const answer = await staff.meera.send("PUT", "/leads/by-external-id/theirs", { firstName: "Mine" });
    expect(answer).toMatchObject({ status: 404 });
  });

  test("a manager assigns within the teams, to himself and to nobody, and to no one else", async () => {
    const lead = await newLead("anil");
    const assign = (userId: string) => staff.meera.post(`/leads/${lead.id}/assign`, { userId });
    const refused = { status: 403, body: { code: "FORBIDDEN" } };
    expect(await assign(staff.chitra.userId)).toMatchObject(refused);
    const patch = (body: object) => staff.meera.send("PATCH", `/leads/${lead.id}`, body);
    expect(await patch({ assignedTo: staff.chitra.userId })).toMatchObject(refused);
    expect(
      await staff.meera.post("/leads", { firstName: "x", assignedTo: staff.chitra.userId }),
    ).toMatchObject(refused);
    const bulk = await made<{ results: { status: number }[] }>(
      staff.meera.post("/leads/bulk", {
        items: [{ firstName: "x", assignedTo: staff.chitra.userId }, { firstName: "y" }],
      }),
    );
    expect(bulk.results.map(({ status }) => status)).toEqual([403, 201]);
    expect(await assign(staff.bina.userId)).toMatchObject({ status: 200 });
    expect(await assign(staff.meera.userId)).toMatchObject({ status: 200 });
    expect(await patch({ assignedTo: null })).toMatchObject({ status: 200, body: { assignedTo: null } });
  });

  test("a pool with members of other teams is not the manager's to assign by", async () => {
    const lead = await newLead("anil");
    const pool = (name: string, members: Client[]) =>
      made<{ id: string }>(
        admin.post("/assignment-pools", {
          ...{ name, strategy: "round_robin", isActive: true },
          // wants no lead by itself
          criteria: [{ field: "source", op: "eq", value: "never" }],
          members: members.map(({ userId }) => ({ userId })),
        }),
      );
    const [mixed, own] = [await pool("Mixed", [staff.anil, staff.chitra]), await pool("Own", [staff.bina])];
    const assign = (poolId: string) => staff.meera.post(`/leads/${lead.id}/assign`, { poolId });
    expect(await assign(mixed.id)).toMatchObject({ status: 403 });
    expect(await assign(own.id)).toMatchObject({ status: 200, body: { assignedTo: staff.bina.userId } });
  });

  test("a conversion answers no contact the manager may not see, and makes one instead", async () => {
    const theirs = await newLead(hidden, { email: "twice@example.com", phone: "+919812345678" });
    const contactOf = async (client: Client, { id }: Lead) =>
      (await made<{ contact: { id: string; phone: string | null } }>(client.post(`/leads/${id}/convert`, {})))
        .contact;
    const known = await contactOf(admin, theirs);
    const made1 = await contactOf(staff.meera, await newLead("anil", { email: "twice@example.com" }));
    expect(made1).toMatchObject({ phone: null });
    expect(made1.id).not.toBe(known.id);
  });

  test("an import by a manager neither updates nor assigns leads, and others do not see it", async () => {
    const form = (csv: string, more: Record<string, string> = {}) => {
      const sent = new FormData();
      sent.set("file", new Blob([csv]), "leads.csv");
      for (const [name, value] of Object.entries(more)) sent.set(name, value);
      return sent;
    };
    const upload = (csv: string, more = {}) => staff.meera.post("/leads/import", form(csv, more));
    expect(await upload("email\na@b.example\n", { onDuplicate: "update" })).toMatchObject({ status: 403 });
    const assigning = await upload(`email,whose\na@b.example,${staff.chitra.userId}\n`, {
      mapping: JSON.stringify({ whose: "assignedTo" }),
    });
    expect(assigning).toMatchObject({
      status: 422,
      body: { errors: [{ path: "mapping.whose", code: "not_permitted" }] },
    });
    const mine = await made<{ id: string }>(upload("email\na@b.example\n"));
    const theirs = await made<{ id: string }>(admin.post("/leads/import", form("email\nc@d.example\n")));
    expect(await staff.meera.get(`/imports/${mine.id}`)).toMatchObject({ status: 200 });
    expect(await staff.meera.get(`/imports/${theirs.id}`)).toMatchObject({ status: 404 });
    expect(await staff.meera.get(`/imports/${theirs.id}/errors`)).toMatchObject({ status: 404 });
    expect(await staff.meera.post(`/imports/${theirs.id}/rollback`)).toMatchObject({ status: 404 });
    await eventually(async () => {
      const { status } = (await admin.get(`/imports/${mine.id}`)).body as { status: string };
      return status === "completed";
    });
  });

  test("the feed shows a manager events of the leads the manager sees", async () => {
    const shown = async (client: Client) => {
      const { data } = await made<{ data: { entity: { id: string }; type: string }[] }>(
        client.get("/events?limit=1000&types=lead.created"),
      );
      return Object.entries(leads)
        .filter(([, { id }]) => data.some(({ entity }) => entity.id === id))
        .map(([owner]) => owner);
    };
    await eventually(async () => (await shown(viewer)).length === 5);
    expect(await shown(staff.meera)).toEqual(seen);
    expect(await shown(staff.anil)).toEqual(["anil"]);
  });

  test("sockets are sent events and typing of the leads their user sees", async () => {
    const [meera, anil, chitra, watcher] = await Promise.all([
      follow(staff.meera),
      follow(staff.anil),
      follow(staff.chitra),
      follow(viewer),
    ]);
    expect(await anil.send("typing", typing(leads.anil))).toEqual({ ok: true });
    expect(await chitra.send("typing", typing(leads.chitra))).toEqual({ ok: true });
    expect(await meera.send("typing", typing(leads.chitra))).toMatchObject({ code: "LEAD_NOT_FOUND" });
    expect(await watcher.send("typing", typing(leads.nobody))).toEqual({ ok: true });
    await eventually(() => typed(watcher) === 2 && typed(meera) === 2);
    const [ours, theirs] = [await newLead("anil"), await newLead("chitra")];
    await eventually(() => mentions(watcher, theirs).length === 1 && mentions(meera, ours).length === 1);
    await eventually(() => mentions(chitra, theirs).length === 1);
    expect(mentions(meera, theirs)).toEqual([]);
    expect(mentions(anil, theirs)).toEqual([]);
    expect([typed(meera), typed(anil), typed(chitra)]).toEqual([2, 0, 0]);
  });

  test("a lead that goes to another team says so to who loses it, and is silent afterwards", async () => {
    const [meera, watcher] = [await follow(staff.meera), await follow(viewer)];
    const lead = await newLead("nobody");
    await eventually(() => mentions(meera, lead).includes("lead.created"));
    await made(admin.post(`/leads/${lead.id}/assign`, { userId: staff.chitra.userId }));
    await eventually(() => mentions(meera, lead).includes("lead.assigned"));
    await made(admin.send("PATCH", `/leads/${lead.id}`, { firstName: "Gone" }));
    await eventually(() => mentions(watcher, lead).includes("lead.updated"));
    expect(mentions(meera, lead)).toEqual(["lead.created", "lead.assigned"]);
    expect(await staff.meera.get(`/leads/${lead.id}`)).toMatchObject({ status: 404 });
  });

  test("a change of the team moves what its manager's open socket is sent, within two seconds", async () => {
    const [meera, watcher] = [await follow(staff.meera), await follow(viewer)];
    const change = (memberIds: string[]) => made(admin.send("PATCH", `/teams/${team.id}`, { memberIds }));
    const members = [staff.anil.userId, staff.bina.userId];
    await change([...members, staff.chitra.userId]);
    await eventually(async () => {
      await watcher.send("typing", typing(leads.chitra));
      return typed(meera) > 0;
    }, 2_000);
    const gained = await newLead("chitra");
    await eventually(() => mentions(meera, gained).length === 1, 2_000);
    expect(await staff.meera.get(`/leads/${gained.id}`)).toMatchObject({ status: 200 });

    await change(members);
    await eventually(async () => (await staff.meera.get(`/leads/${gained.id}`)).status === 404, 2_000);
    const before = typed(meera);
    await watcher.send("typing", typing(leads.chitra));
    const lost = await newLead("chitra");
    await eventually(() => mentions(watcher, lost).length === 1);
    await watcher.send("typing", typing(leads.anil));
    await eventually(() => typed(meera) === before + 1);
    expect(mentions(meera, lost)).toEqual([]);
  });

  test("a change that nobody was told of shows within two seconds and a bit", async () => {
    const [meera, watcher] = [await follow(staff.meera), await follow(viewer)];
    const shard =
      node.databases[
        node.runtime.database.shards.indexOf(node.runtime.database.shardOf(admin.organizationId))
      ];
    const setMembers = (memberIds: string[]) =>
      inspect(shard as string, "UPDATE teams SET member_ids = $2, version = version + 1 WHERE id = $1", [
        team.id,
        memberIds,
      ]);
    await setMembers([staff.chitra.userId]);
    await eventually(async () => {
      await watcher.send("typing", typing(leads.chitra));
      return typed(meera) > 0 && (await staff.meera.get(`/leads/${leads.chitra.id}`)).status === 200;
    }, 3_500);
    await setMembers([staff.anil.userId, staff.bina.userId]);
    await eventually(async () => (await staff.meera.get(`/leads/${leads.chitra.id}`)).status === 404, 3_500);
  });

  test("teams are the admin's to change, with active users of the organization", async () => {
    const stranger = await new Client(originOf(node)).register("Elsewhere");
    const unknown = { name: "West", memberIds: [stranger.userId] };
    expect(await admin.post("/teams", unknown)).toMatchObject({
      status: 422,
      body: { errors: [{ path: "memberIds.0", code: "not_found" }] },
    });
    expect(await admin.post("/teams", { name: "north" })).toMatchObject({
      status: 409,
      body: { code: "TEAM_NAME_TAKEN" },
    });
    expect(await staff.meera.post("/teams", { name: "West" })).toMatchObject({ status: 403 });
    expect(await staff.meera.send("PATCH", `/teams/${team.id}`, {})).toMatchObject({ status: 403 });
    expect(await staff.anil.get(`/teams/${team.id}`)).toMatchObject({ status: 200, body: { name: "North" } });
    expect(await stranger.get(`/teams/${team.id}`)).toMatchObject({ status: 404 });
    expect(await stranger.get("/teams")).toMatchObject({ body: { data: [] } });
    const stale = await admin.send("PATCH", `/teams/${team.id}`, { name: "N" }, { "if-match": '"999"' });
    expect(stale).toMatchObject({ status: 412 });
  });
});
