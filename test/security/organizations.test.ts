import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { can } from "../../mixins/access/principal.ts";
import type { ActionSpec } from "../../mixins/contract/contract.ts";
import { contracts } from "../../services/contracts.ts";
import { routes, type Route } from "../../services/gateway/routes.ts";
import type { Answer } from "../support/client.ts";
import { idFields, sampleBody } from "./samples.ts";
import { buildWorld, mark, roles, scopes, type World } from "./world.ts";

let world: World;
let before: Awaited<ReturnType<World["theirTables"]>>;
beforeAll(async () => {
  world = await buildWorld();
  before = await world.theirTables();
});
afterAll(() => world.node.stop());

const callers = [...roles, "key"] as const;
const send = (caller: (typeof callers)[number], route: Route, path: string, body?: object): Promise<Answer> =>
  world.ours[caller].send(route.method, path, body);
const bodyOf = (route: Route, caller: (typeof callers)[number] = "admin"): object | undefined =>
  route.method === "GET" || route.method === "DELETE"
    ? undefined
    : sampleBody(route, world.ours[caller].userId || world.ours.admin.userId);

/** The route's path, its parameters those of theirs. */
function foreignPath(route: Route): string {
  return route.path.replace(/:\w+/g, (parameter, at: number) => {
    const id = world.foreign[route.path.slice(0, at) + parameter];
    if (id === undefined)
      throw new Error(
        `${route.path}: let world.ts make what ${parameter} names, and put its id into "foreign"`,
      );
    return id;
  });
}

/** @param path what was asked; a problem names it */
function expectNothingOfTheirs(answer: Answer, path: string): void {
  const text = JSON.stringify(answer.body).replaceAll(path, "");
  expect(text).not.toContain(mark);
  const ids = world.theirIds;
  expect(ids.size).toBeGreaterThan(10);
  expect((text.match(/[\da-f]{8}-[\da-f-]{27}/g) ?? []).filter((id) => ids.has(id))).toEqual([]);
}

const named = (list: Route[]) => list.map((route) => [`${route.method} ${route.path}`, route] as const);
const isUpsert = (route: Route) => route.path.includes("by-external-id");
// where somebody signs in, nobody is of any organization yet
const withIds = routes.filter(
  (route) => route.pathParams.length > 0 && !isUpsert(route) && route.spec.permission !== "public",
);
const lists = routes.filter(
  (route) => route.method === "GET" && route.pathParams.length === 0 && route.spec.permission !== "public",
);

describe.each(named(withIds))("%s with an id of another organization", (_name, route) => {
  test.each(callers)("does not exist for %s", async (caller) => {
    const path = foreignPath(route);
    const answer = await send(caller, route, path, bodyOf(route, caller));
    const principal = caller === "key" ? { role: "admin", scopes } : { role: caller };
    const { permission } = route.spec;
    const mayCall =
      permission === "authenticated" || can({ organizationId: "", userId: "", ...principal }, permission);
    expect({ route: route.action, ...answer }).toMatchObject({ status: mayCall ? 404 : 403 });
    expectNothingOfTheirs(answer, path);
  });
});

describe.each(named(withIds.filter((route) => route.pathParams.length > 1)))(
  "%s with an own first id",
  (_name, route) => {
    test.each(roles)("does not exist for %s", async (caller) => {
      const path = foreignPath(route).replace(world.foreign["/leads/:id"] as string, world.ownLeadId);
      const answer = await send(caller, route, path, bodyOf(route));
      expect([403, 404]).toContain(answer.status);
    });
  },
);

describe.each(named(lists))("%s", (_name, route) => {
  test.each(callers)("shows %s nothing of another organization", async (caller) => {
    expectNothingOfTheirs(await send(caller, route, route.path), route.path);
  });
});

const questions = [
  ["a search", `search=${mark}`],
  ["a count", "count=true"],
  ["a filter by their user", "filter[assignedTo]=THEIR_USER"],
  ["a filter by their tag", `filter[tags]=${mark}`],
  ["the widest page", "limit=200&sort=createdAt"],
] as const;
describe.each(questions)("%s over leads", (_name, query) => {
  test.each(callers)("finds nothing of another organization for %s", async (caller) => {
    const asked = query.replace("THEIR_USER", world.foreign["/users/:id"] as string);
    for (const path of ["/leads", "/leads/export"]) {
      const answer = await world.ours[caller].get(`${path}?${asked}`);
      if (answer.status === 200 && query === "count=true")
        expect((answer.body as { page: { total: number } }).page.total).toBeLessThan(2);
      expectNothingOfTheirs(answer, path);
    }
  });
});

// a what-if score stores nothing and reads nothing of whom it is told
const storesIds = (route: Route) =>
  idFields(route).length > 0 && route.method !== "GET" && route.action !== "leads.score";
describe.each(named(routes.filter(storesIds)))("%s", (_name, route) => {
  test.each(idFields(route))("takes no id of another organization as $name", async ({ field, holding }) => {
    for (const id of new Set(Object.values(world.foreign).filter((value) => value.length === 36))) {
      const body = { ...bodyOf(route), [field]: holding(id) };
      const path = route.path.replace(/^\/[\w-]+\/:id/, (named) =>
        world.own[named] ? named.replace(":id", world.own[named]) : named,
      );
      const answer = await send("admin", route, path, body);
      if (![404, 422].includes(answer.status)) expect({ id, ...answer }).toBe("refused");
    }
  });
});

test("a cursor of another organization leads nowhere in it", async () => {
  const { body } = await world.theirs.get("/leads?limit=1");
  const { nextCursor } = (body as { page: { nextCursor: string } }).page;
  expect(nextCursor).toEqual(expect.any(String));
  expectNothingOfTheirs(await world.ours.admin.get(`/leads?cursor=${nextCursor}`), "/leads");
});

test("an Idempotency-Key of another user or organization answers nothing of theirs", async () => {
  const key = { "idempotency-key": "the-same-key" };
  const one = await world.ours.admin.post("/leads", { lastName: "Mine" }, key);
  const other = await world.ours.manager.post("/leads", { lastName: "Mine" }, key);
  expect([one.status, other.status]).toEqual([201, 201]);
  expect((one.body as { id: string }).id).not.toBe((other.body as { id: string }).id);
  const visitor = await world.ours.admin.register("Third");
  const third = await visitor.post("/leads", { lastName: "Mine" }, key);
  expect(third.status).toBe(201);
  expect((third.body as { id: string }).id).not.toBe((one.body as { id: string }).id);
});

test("an external id of another organization names a new lead here", async () => {
  const answer = await world.ours.admin.send("PUT", `/leads/by-external-id/${mark}`, { lastName: "Mine" });
  expect(world.theirIds.has((answer.body as { id: string }).id)).toBe(false);
});

const internal = contracts.flatMap((contract) =>
  Object.entries<ActionSpec>(contract.actions)
    .filter(([, spec]) => spec.permission === "system")
    .map(([name]) => `${contract.name}.${name}`),
);
describe.each(internal)("%s", (name) => {
  test.each(roles)("is refused to %s, also past the gateway", async (role) => {
    const meta = { organizationId: world.ours.admin.organizationId, userId: world.ours.admin.userId, role };
    await expect(world.node.broker.call(name, {}, { meta })).rejects.toMatchObject({ code: 403 });
  });
  test("has no address", async () => {
    const answer = await world.ours.admin.post(`/${name.replace(".", "/")}`, {});
    // as an address of something that can only be read, it may be one of a method that is not taken
    expect([404, 405]).toContain(answer.status);
  });
});

test("after all of that, every row of theirs is as it was", async () => {
  expect(await world.theirTables()).toEqual(before);
});
