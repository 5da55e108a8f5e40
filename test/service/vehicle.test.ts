/**
 * Its node knows a kind more than others, which it would share with them.
 * @jest-environment ./test/support/environment.mjs
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { kinds as builtIn } from "../../entities/kinds.ts";
import type { ActionSpec } from "../../mixins/contract/contract.ts";
import { pathParamsOf } from "../../mixins/contract/contract.ts";
import { kinds } from "../../mixins/records/kind/kinds.ts";
import { tableSql } from "../../mixins/records/kind/table-sql.ts";
import { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { shardUrl } from "../support/leads.ts";
import { asMigration } from "../support/migrations.ts";
import { originOf, startTestNode, type TestNode } from "../support/node.ts";
import { bodyOf, kindsThat, listOf, made, unique } from "../support/records.ts";
import { vehicle, vehicles, vehiclesContract } from "../support/vehicle.ts";

let node: TestNode;
let admin: Client;
let rep: Client;
let viewer: Client;
let stranger: Client;
beforeAll(async () => {
  node = await startTestNode({}, [vehicles]);
  for (const url of node.databases) await asMigration(url, tableSql(vehicle, kinds));
  const visitor = new Client(originOf(node));
  admin = await visitor.register("Garage");
  rep = await admin.addUser("sales_rep");
  viewer = await admin.addUser("viewer");
  stranger = await visitor.register("Strangers");
});
afterAll(() => node.stop());

const plate = () => `KA ${unique()}`;
const make = (more: object = {}, by = admin) => made(by, "/vehicles", { plate: plate(), ...more });

test("a kind of six fields and a rule is declared and served in less than 100 lines, and is in no list of the product", () => {
  const lines = readFileSync("test/support/vehicle.ts", "utf8").trim().split("\n");
  const sql = tableSql(vehicle, kinds).trim().split("\n");
  expect(lines.length).toBeLessThan(100);
  expect(sql.length).toBeLessThan(35);
  expect(builtIn.has("vehicle")).toBe(false);
});

test("its table has every column that it declares, and no other", async () => {
  const columns = await inspect<{ name: string }>(
    node.databases[0] as string,
    "SELECT attname AS name FROM pg_attribute WHERE attrelid = 'vehicles'::regclass AND attnum > 0",
  );
  expect(columns.map(({ name }) => name).sort()).toEqual(vehicle.columns.toSorted());
});

test("it stands in OpenAPI with its routes, its schemas and its filters", async () => {
  const { paths, components } = (await admin.get("/openapi.json")).body as {
    paths: Record<string, Record<string, object>>;
    components: { schemas: Record<string, object> };
  };
  expect(Object.keys(components.schemas)).toEqual(
    expect.arrayContaining(["Vehicle", "NewVehicle", "VehiclePart"]),
  );
  const routes = Object.values<ActionSpec>(vehiclesContract.actions).flatMap(({ rest }) => rest ?? []);
  for (const route of routes) {
    const [method = "", path = ""] = route.replace(/:(\w+)/g, "{$1}").split(" ");
    expect(Object.keys(paths[path] ?? {})).toContain(method.toLowerCase());
  }
});

describe("rights", () => {
  test("a viewer reads and writes nothing, a rep has its own, custom roles are given the right by name", async () => {
    const one = await make();
    expect(await viewer.get(`/vehicles/${one.id}`)).toMatchObject({ status: 200 });
    expect(await viewer.post("/vehicles", { plate: plate() })).toMatchObject({ status: 403 });
    expect(await viewer.send("PATCH", `/vehicles/${one.id}`, { tags: ["v"] })).toMatchObject({ status: 403 });
    expect(await rep.get(`/vehicles/${one.id}`)).toMatchObject({ status: 404 });
    const own = await make({}, rep);
    expect(own.assignedTo).toBe(rep.userId);
    expect(await rep.send("DELETE", `/vehicles/${own.id}`)).toMatchObject({ status: 403 });
    const role = await made(admin, "/roles", {
      name: unique(),
      permissions: ["vehicles:delete"],
      sees: "all",
    });
    const remover = await admin.addUser(role.id);
    expect(await remover.get("/vehicles")).toMatchObject({ status: 403 });
    expect(await remover.send("DELETE", `/vehicles/${own.id}`)).toMatchObject({ status: 204 });
  });

  test("another organization finds nothing of it by any route", async () => {
    const externalId = unique();
    const one = await make({ externalId });
    const before = (await admin.get(`/vehicles/${one.id}`)).body;
    const walked = Object.entries<ActionSpec>(vehiclesContract.actions).filter(
      ([, spec]) => pathParamsOf(spec).length > 0,
    );
    const bodies: Record<string, object> = {
      revert: { version: 1 },
      merge: { loserIds: [(await make()).id] },
      update: { tags: ["x"] },
    };
    for (const [name, { rest = "" }] of walked) {
      const [method = "", path = ""] = rest.split(" ");
      const at = path.replace(":id", one.id).replace(":externalId", externalId);
      // a PUT makes one of their own
      if (method === "PUT") continue;
      const answer = await stranger.send(method, at, method === "GET" ? undefined : bodies[name]);
      expect({ name, status: answer.status }).toEqual({ name, status: 404 });
    }
    expect(listOf(await stranger.get("/vehicles"))).toEqual([]);
    expect(listOf(await stranger.get(`/vehicles?q=${encodeURIComponent(String(one.plate))}`))).toEqual([]);
    expect((await admin.get(`/vehicles/${one.id}`)).body).toEqual(before);
    const [row] = await inspect<{ forced: boolean }>(
      shardUrl(node, admin.organizationId),
      "SELECT relrowsecurity AND relforcerowsecurity AS forced FROM pg_class WHERE oid = 'vehicles'::regclass",
    );
    expect(row?.forced).toBe(true);
  });

  test("its plan says how many there may be", async () => {
    const full = await new Client(originOf(node)).register("Full");
    await node.call(
      "identity.setPlan",
      { organizationId: full.organizationId, plan: "expired" },
      { role: "system" },
    );
    await eventually(async () => (await full.post("/vehicles", { plate: plate() })).status === 403);
    expect((await full.get("/organization/usage")).body).toMatchObject({
      records: { vehicle: { used: 0, limit: 0 } },
    });
  });
});

describe("capabilities", () => {
  test("create, change, delete and restore, under its own rule", async () => {
    const one = await make({ mileage: 100 });
    expect(one).toMatchObject({ fuel: "petrol", version: 1 });
    expect(await admin.send("PATCH", `/vehicles/${one.id}`, { mileage: 200 })).toMatchObject({
      status: 200,
      body: { version: 2 },
    });
    expect(await admin.send("PATCH", `/vehicles/${one.id}`, { mileage: 150 })).toMatchObject({
      status: 409,
      body: { code: "MILEAGE_FELL" },
    });
    expect(await admin.post("/vehicles", { plate: "X", fuel: "wood" })).toMatchObject({
      status: 422,
      body: { errors: [{ path: "fuel", allowed: ["petrol", "diesel", "electric"] }] },
    });
    expect(await admin.post("/vehicles", { mileage: 3 })).toMatchObject({ status: 422 });
    await admin.send("DELETE", `/vehicles/${one.id}`);
    expect(await admin.get(`/vehicles/${one.id}`)).toMatchObject({
      status: 404,
      body: { code: "VEHICLE_NOT_FOUND" },
    });
    expect(await admin.post(`/vehicles/${one.id}/restore`)).toMatchObject({
      status: 200,
      body: { mileage: 200 },
    });
  });

  test("in bulk, by external id, and many at once", async () => {
    const tag = unique();
    const { results } = (
      await admin.post("/vehicles/bulk", {
        items: [{ plate: plate(), tags: [tag] }, { fuel: 7 }, { plate: plate(), tags: [tag] }],
      })
    ).body as { results: { status: number }[] };
    expect(results.map(({ status }) => status)).toEqual([201, 422, 201]);
    const at = `/vehicles/by-external-id/${unique()}`;
    expect(await admin.send("PUT", at, { plate: plate() })).toMatchObject({ status: 201 });
    expect(await admin.send("PUT", at, { maker: "Tata" })).toMatchObject({
      status: 200,
      body: { maker: "Tata" },
    });
    const where = { field: "tags", op: "contains", value: tag };
    const begun = await admin.send("PATCH", "/vehicles/bulk", { where, changes: { fuel: "diesel" } });
    expect(begun).toMatchObject({ status: 202 });
    await eventually(
      async () => bodyOf(await admin.get(`/operations/${bodyOf(begun).id}`)).status === "completed",
    );
    const list = listOf(await admin.get(`/vehicles?filter[tags][contains]=${tag}`));
    expect(list.map(({ fuel }) => fuel)).toEqual(["diesel", "diesel"]);
  });

  test("history and the way back; a merge and its undoing, which references follow", async () => {
    const company = await made(admin, "/companies", { name: unique() });
    const [winner, loser] = [
      await make({ maker: "Tata" }),
      await make({ mileage: 9, companyId: company.id }),
    ];
    await admin.send("PATCH", `/vehicles/${winner.id}`, { maker: "Mahindra" });
    expect(listOf(await admin.get(`/vehicles/${winner.id}/history`))[0]).toMatchObject({
      changes: { maker: ["Tata", "Mahindra"] },
    });
    expect(await admin.post(`/vehicles/${winner.id}/revert`, { version: 1 })).toMatchObject({
      body: { maker: "Tata" },
    });
    const merged = await admin.post(`/vehicles/${winner.id}/merge`, { loserIds: [loser.id] });
    expect(merged).toMatchObject({ status: 200, body: { record: { companyId: company.id } } });
    expect(await admin.get(`/vehicles/${loser.id}`)).toMatchObject({ status: 410 });
    const { mergeId } = merged.body as { mergeId: string };
    expect(await admin.post(`/merges/${mergeId}/undo`)).toMatchObject({ status: 200 });
    expect(await admin.get(`/vehicles/${loser.id}`)).toMatchObject({
      body: { mileage: 9, companyId: company.id },
    });
    // a company that becomes part of another takes its vehicles along
    const other = await made(admin, "/companies", { name: unique() });
    await admin.post(`/companies/${other.id}/merge`, { loserIds: [company.id] });
    expect(await admin.get(`/vehicles/${loser.id}`)).toMatchObject({ body: { companyId: other.id } });
  });

  test("custom fields, what it refers to, and who may be the same", async () => {
    const key = `doors${Date.now()}`;
    await made(admin, "/custom-fields", { kind: "vehicle", key, type: "number" });
    const company = await made(admin, "/companies", { name: unique() });
    const one = await make({ companyId: company.id, customFields: { [key]: 5 } });
    expect(await admin.post("/vehicles", { plate: "X", customFields: { [key]: "five" } })).toMatchObject({
      status: 422,
    });
    expect(await admin.get(`/vehicles/${one.id}?include=company`)).toMatchObject({
      body: { included: { company: [{ id: company.id }] } },
    });
    const twin = await make({ plate: one.plate });
    const { data } = (await admin.get(`/vehicles/${one.id}/duplicates`)).body as { data: object[] };
    expect(data).toMatchObject([{ record: { id: twin.id }, matchedBy: ["plate"] }]);
    // other kinds may refer to it
    await made(admin, "/custom-fields", { kind: "contact", key, type: "reference", references: "vehicle" });
    await made(admin, "/contacts", { lastName: "Owner", customFields: { [key]: one.id } });
    expect(await stranger.post("/custom-fields", { kind: "bicycle", key })).toMatchObject({
      status: 422,
      body: {
        errors: [{ path: "kind", allowed: [...kindsThat("upsert").map(([, { name }]) => name), "vehicle"] }],
      },
    });
  });

  test("is found by filters, conditions, order and words", async () => {
    const tag = unique();
    for (const [maker, mileage] of [
      ["Zastava", 30],
      ["de Tomaso", 10],
      ["Ашок", 20],
    ] as const)
      await make({ maker, mileage, tags: [tag], plate: `${maker} ${tag}` });
    const makers = async (query: string) =>
      listOf(await admin.get(`/vehicles?filter[tags][contains]=${tag}&${query}`)).map(({ maker }) => maker);
    expect(await makers("sort=mileage")).toEqual(["de Tomaso", "Ашок", "Zastava"]);
    expect(await makers("sort=plate")).toEqual(["de Tomaso", "Zastava", "Ашок"]);
    expect(await makers("filter[mileage][gte]=20&sort=-mileage")).toEqual(["Zastava", "Ашок"]);
    expect(await makers(`where=${JSON.stringify({ field: "maker", op: "like", value: "tomas" })}`)).toEqual([
      "de Tomaso",
    ]);
    expect(await makers("q=zast")).toEqual(["Zastava"]);
    expect(await admin.get("/vehicles?filter[wheels]=4")).toMatchObject({ status: 400 });
  });

  test("is exported and erased with the person whom it tells of", async () => {
    const driverEmail = `${unique()}@example.com`;
    const one = await make({
      driverEmail,
      tags: ["taxi"],
      customFields: { note: "drives fast" },
      mileage: 7,
    });
    const merged = await make({ driverEmail });
    await admin.post(`/vehicles/${one.id}/merge`, { loserIds: [merged.id] });
    const other = await make({ driverEmail: `other-${driverEmail}` });
    const begun = async (path: string, body: object) => {
      const { id } = bodyOf(await admin.post(path, body));
      const at = `/privacy/requests/${id}`;
      await eventually(async () => bodyOf(await admin.get(at)).status === "completed", 30_000);
      const { receipt } = (await admin.get(at)).body as {
        receipt: { parts: { part: string; count: number }[] };
      };
      return receipt.parts.find(({ part }) => part === "vehicles.vehicles")?.count;
    };
    expect(await begun("/privacy/exports", { email: driverEmail })).toBe(2);
    expect(await begun("/privacy/erasures", { email: driverEmail.toUpperCase(), reason: "asked" })).toBe(2);
    expect(await admin.get(`/vehicles/${one.id}`)).toMatchObject({ status: 404 });
    expect(await admin.get(`/vehicles/${other.id}`)).toMatchObject({ status: 200 });
    const url = shardUrl(node, admin.organizationId);
    const [row] = await inspect(
      url,
      "SELECT plate, mileage, driver_email, tags, custom_fields FROM vehicles WHERE id = $1",
      [one.id],
    );
    expect(row).toEqual({ plate: one.plate, mileage: 7, driver_email: null, tags: [], custom_fields: {} });
    const left = await inspect(
      url,
      "SELECT data::text AS data FROM events UNION ALL SELECT before::text FROM merges UNION ALL SELECT c::text FROM import_record_changes AS c",
    );
    expect(JSON.stringify(left).replaceAll(`other-${driverEmail}`, "")).not.toContain(driverEmail);
  });

  test("is told of in the feed to who may read it", async () => {
    const one = await make();
    const typesOf = async (client: Client) => {
      const { data } = (await client.get("/events?since=0&limit=1000&types=vehicle.created")).body as {
        data: { entity: { id: string } }[];
      };
      return data.map(({ entity }) => entity.id);
    };
    await eventually(async () => (await typesOf(admin)).includes(one.id));
    expect(await typesOf(viewer)).toContain(one.id);
    expect(await typesOf(rep)).not.toContain(one.id);
    expect(await typesOf(stranger)).toEqual([]);
  });
});

test("files of it are imported, found again by its keys, and written", async () => {
  const [one, two] = [plate(), plate()];
  const bring = async (file: string, fields: Record<string, string> = {}) => {
    const form = new FormData();
    for (const [name, value] of Object.entries(fields)) form.set(name, value);
    form.set("file", new Blob([file]), "vehicles.csv");
    const begun = bodyOf(await admin.post("/vehicles/import", form));
    return eventually(async () => {
      const view = bodyOf(await admin.get(`/imports/${begun.id}`));
      return view.status === "completed" ? view : null;
    }, 20_000);
  };
  const file = `Plate,Maker,Fuel,Mileage,Price,Doors\n${one},Tata,Electric,"12,000",INR 900000,5\n${two},BMW,,,,\n`;
  expect(await bring(file)).toMatchObject({ kind: "vehicle", created: 2, failed: 0 });
  expect(await bring(file)).toMatchObject({ created: 0, skipped: 2 });
  const slower = `Plate,Mileage\n${one},11000\n${two},5\n`;
  expect(await bring(slower, { onDuplicate: "update" })).toMatchObject({ updated: 1, failed: 1 });
  const { body } = await admin.get(`/vehicles/export?filter[plate]=${encodeURIComponent(one)}`);
  expect(body).toContain(`${one},Tata,,electric,12000,`);
  expect(await rep.get("/vehicles/export")).toMatchObject({ status: 403 });
  expect(await admin.get("/audit-log?filter[type]=vehicles.exported")).toMatchObject({
    status: 200,
    body: { data: [{ type: "vehicles.exported" }] },
  });
}, 60_000);
