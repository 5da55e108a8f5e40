import { beforeAll, describe, expect, test } from "@jest/globals";
import { z } from "zod";
import { kinds } from "../../entities/kinds.ts";
import { routes, type Route } from "../../services/gateway/routes.ts";
import { Client, type Answer } from "../support/client.ts";
import { pathOf } from "../support/paths.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let visitor: Client;
let admin: Client;

beforeAll(async () => {
  node = await shareNode();
  visitor = new Client(originOf(node));
  admin = await visitor.register("Conventions");
});

const id = (answer: Answer) => (answer.body as { id: string }).id;
const make = async (path: string, body: object): Promise<string> => id(await admin.post(path, body));

describe("what is wrong with a query string is a 400", () => {
  const statuses = ["new", "contacted", "qualified", "unqualified", "converted"];
  const sorts = ["createdAt", "-createdAt"];
  test.each([
    ["/leads?nosuch=1", "nosuch", "unknown_field", expect.arrayContaining(["limit", "filter"])],
    ["/leads?limit=0", "limit", "too_small", undefined],
    ["/leads?limit=many", "limit", "invalid_type", undefined],
    ["/leads?sort=email", "sort", "invalid_value", expect.arrayContaining(["score", "-score"])],
    ["/leads?fields=id,secret", "fields.1", "invalid_value", expect.arrayContaining(["email"])],
    ["/leads?filter[nosuch]=1", "filter.nosuch", "unknown_filter", expect.arrayContaining(["status"])],
    ["/leads?filter[status]=bogus", "filter.status", "invalid_value", statuses],
    ["/leads?filter[status][in]=new,bogus", "filter.status.in", "invalid_value", statuses],
    [
      "/leads?filter[status][about]=new",
      "filter.status.about",
      "unknown_operator",
      expect.arrayContaining(["nin"]),
    ],
    ["/leads?filter[score]=high", "filter.score", "invalid_value", undefined],
    ["/leads?filter[email][like]=ab", "filter.email.like", "too_small", undefined],
    ["/leads?filter[createdAt][gt]=0000-01-01", "filter.createdAt.gt", "invalid_value", undefined],
    ["/leads?filter=1", "filter", "invalid_type", undefined],
    ["/leads?filter[customFields.nosuch]=1", "filter.customFields.nosuch", "unknown_filter", undefined],
    [
      "/leads/export?filter[customFields.nosuch]=1",
      "filter.customFields.nosuch",
      "unknown_filter",
      undefined,
    ],
    ["/leads?cursor=garbage", "cursor", "invalid_cursor", undefined],
    ["/jobs?cursor=7", "cursor", "invalid_cursor", undefined],
    ["/jobs?state=bogus", "state", "invalid_value", expect.arrayContaining(["dead"])],
    ["/roles?cursor=x", "cursor", "invalid_cursor", undefined],
    ["/audit-log?sort=type", "sort", "invalid_value", sorts],
    ["/imports?filter[status]=bogus", "filter.status", "invalid_value", expect.arrayContaining(["pending"])],
    ["/analytics/conversion?from=2026-02-01&to=2026-01-01", "from", "after_to", undefined],
    ["/events?since=x", "since", "invalid_type", undefined],
  ])("GET %s", async (path, at, code, allowed) => {
    const answer = await admin.get(path);
    expect(answer.status).toBe(400);
    const { errors } = answer.body as { errors: { path: string }[] };
    expect(errors).toEqual([
      { path: at, code, message: expect.any(String), ...(allowed ? { allowed } : {}) },
    ]);
  });

  test("also where a change takes none", async () => {
    const answer = await admin.post("/leads?nosuch=1", { email: "a@b.example" });
    expect(answer).toMatchObject({
      status: 400,
      body: { errors: [{ path: "nosuch", code: "unknown_field" }] },
    });
  });

  test("and a body that cannot be read says so in errors too", async () => {
    expect(await admin.post("/leads", "{")).toMatchObject({
      status: 400,
      body: { code: "MALFORMED_JSON", errors: [{ path: "", code: "malformed_json" }] },
    });
  });
});

describe("a list", () => {
  /** What is no list of records, and why. */
  const others = [
    "GET /analytics/leads-per-day", // figures of a period
    "GET /analytics/conversion",
    "GET /pipelines/:id/forecast",
    "GET /events", // the feed goes on by seq
    "GET /privacy/retention", // one setting
    "GET /search", // the best of all kinds, which have no order to go on in
  ];
  const holdsList = ({ spec }: Route) =>
    spec.returns instanceof z.ZodObject
    && (spec.returns.shape as object as { data?: unknown }).data instanceof z.ZodArray;
  const lists = routes.filter((route) => route.method === "GET" && holdsList(route));

  test.each(lists.map((route) => [route.spec.rest as string, route] as const))(
    "%s has the envelope",
    async (rest, route) => {
      if (others.includes(rest)) return;
      const [plural = ""] = /(?<=^\/)[\w-]+/.exec(route.path) ?? [];
      const kind = [...kinds.values()].find((one) => one.plural === plural);
      const listed = kind
        ? await make(`/${plural}`, kind.example)
        : plural === "lists"
          ? await make("/lists", { name: "Listed" })
          : await make("/leads", { email: "listed@example.com" });
      const answer = await admin.get(route.path.replace(":id", listed));
      expect(answer).toMatchObject({
        status: 200,
        body: { data: expect.any(Array), page: { nextCursor: null, hasMore: false } },
      });
      if (rest === "GET /auth/oauth") return; // of the installation, and never more than a few
      expect(await admin.get(`${route.path.replace(":id", listed)}?limit=1`)).toMatchObject({ status: 200 });
      expect(await admin.get(`${route.path.replace(":id", listed)}?limit=0`)).toMatchObject({ status: 400 });
    },
  );

  test("goes on from page to page, of whatever it is", async () => {
    const owner = await visitor.register("Pages");
    const leadId = id(await owner.post("/leads", { email: "first@example.com", phone: "+919876500001" }));
    for (let n = 0; n < 5; n++) {
      await owner.post("/leads", { email: "first@example.com", lastName: `L${n}`, tags: [`t${n}`] });
      await owner.post(`/leads/${leadId}/reminders`, { remindAt: `2027-01-0${n + 1}T00:00:00Z` });
      await owner.post("/users/invite", { name: "Ann", email: `ann${n}@example.com`, role: "viewer" });
      await owner.post("/roles", { name: `Role ${n}`, permissions: ["leads:read"] });
    }
    for (const path of [
      "/leads",
      `/leads/${leadId}/reminders`,
      `/leads/${leadId}/duplicates`,
      "/invites",
      "/roles",
      "/auth/sessions",
      "/audit-log",
    ]) {
      const all = (await owner.get(`${path}?limit=200`)).body as { data: unknown[] };
      const seen: unknown[] = [];
      let cursor: string | null = "";
      while (cursor !== null) {
        const next: string = cursor === "" ? "" : `&cursor=${encodeURIComponent(cursor)}`;
        const { body, status } = await owner.get(`${path}?limit=2${next}`);
        expect({ path, status }).toEqual({ path, status: 200 });
        const page = body as { data: unknown[]; page: { nextCursor: string | null } };
        seen.push(...page.data);
        cursor = page.page.nextCursor;
      }
      expect({ path, seen }).toEqual({ path, seen: all.data });
    }
  });

  test("refuses the cursor of another list, filter or order", async () => {
    for (let n = 0; n < 3; n++) await admin.post("/leads", { email: `c${n}@example.com`, source: "fair" });
    const { body } = await admin.get("/leads?limit=1&filter[source]=fair");
    const cursor = encodeURIComponent((body as { page: { nextCursor: string } }).page.nextCursor);
    expect(await admin.get(`/leads?limit=1&filter[source]=fair&cursor=${cursor}`)).toMatchObject({
      status: 200,
    });
    for (const path of [
      "/leads?",
      "/leads?filter[source]=web&",
      "/leads?filter[source]=fair&sort=score&",
      "/users?",
    ])
      expect(await admin.get(`${path}cursor=${cursor}`)).toMatchObject({
        status: 400,
        body: { code: "INVALID_CURSOR", errors: [{ path: "cursor" }] },
      });
  });

  test("filters by whole values, and by lists of them", async () => {
    const [comma, other] = ["Rao, Sons", "Rao"];
    const ids = await Promise.all(
      [comma, other].map((companyName) =>
        make("/leads", { companyName, customFields: { tier: companyName } }),
      ),
    );
    const found = async (query: string) => {
      const { body } = await admin.get(`/leads?sort=createdAt&${query}`);
      return (body as { data: { id: string }[] }).data
        .map((one) => one.id)
        .filter((one) => ids.includes(one));
    };
    expect(await found(`filter[companyName]=${comma}`)).toEqual([ids[0]]);
    expect(await found(String.raw`filter[companyName][in]=Rao\, Sons,x`)).toEqual([ids[0]]);
    expect(new Set(await found(String.raw`filter[companyName][in]=Rao\, Sons,Rao`))).toEqual(new Set(ids));
    expect(await found("filter[companyName][nin]=Rao")).toEqual([ids[0]]);
    expect(await found(`filter[customFields.tier]=${comma}`)).toEqual([ids[0]]);
  });
});

describe("a version", () => {
  test("is the ETag of whatever has one", async () => {
    const leadId = await make("/leads", { email: "versioned@example.com" });
    for (const path of [
      `/leads/${leadId}`,
      "/organization",
      `/users/${admin.userId}`,
      "/scoring/rules",
      "/privacy/retention",
    ]) {
      const answer = await admin.get(path);
      const { version } = answer.body as { version: number };
      expect({ path, tag: answer.headers.get("etag") }).toEqual({ path, tag: `"${version}"` });
    }
  });

  test("can be demanded by every PATCH and DELETE of a resource that has one", () => {
    const hasVersion = (path: string) => {
      const get = routes.find((one) => one.method === "GET" && one.path === path);
      return get?.spec.returns instanceof z.ZodObject && "version" in get.spec.returns.shape;
    };
    const changes = routes.filter(
      ({ method, path }) => ["PATCH", "DELETE", "PUT"].includes(method) && hasVersion(path),
    );
    expect(changes.length).toBeGreaterThan(10);
    expect(changes.filter(({ isVersioned }) => !isVersioned).map(({ spec }) => spec.rest)).toEqual([]);
  });

  test.each(["/custom-fields", "/teams"])("of another time is a 412 for DELETE %s", async (path) => {
    const body = path === "/teams" ? { name: "Versioned" } : { key: "versioned" };
    const made = await make(path, body);
    const etag = (version: number) => ({ "if-match": `"${version}"` });
    expect(await admin.send("DELETE", `${path}/${made}`, undefined, etag(7))).toMatchObject({ status: 412 });
    expect(await admin.get(`${path}/${made}`)).toMatchObject({ status: 200 });
    expect(await admin.send("DELETE", `${path}/${made}`, undefined, etag(1))).toMatchObject({ status: 204 });
  });

  test("of another time does not delete an organization", async () => {
    const owner = await visitor.register("Stays");
    const body = { password: "correct-horse-battery" };
    expect(await owner.send("DELETE", "/organization", body, { "if-match": '"7"' })).toMatchObject({
      status: 412,
    });
    expect(await owner.get("/leads")).toMatchObject({ status: 200 });
  });
});

describe("PUT by external id", () => {
  const put = (key: string, body: object, headers = {}) =>
    admin.send("PUT", `/leads/by-external-id/${key}`, body, headers);

  test("is a 201 that makes, then a 200 that changes or finds nothing to change; GET finds it", async () => {
    const made = await put("erp%2F1", { email: "one@example.com" });
    expect(made).toMatchObject({ status: 201, body: { externalId: "erp/1", version: 1 } });
    expect(made.headers.get("location")).toBe(`/api/v1/leads/${id(made)}`);
    expect(await put("erp%2F1", { email: "one@example.com" })).toMatchObject({
      status: 200,
      body: { version: 1 },
    });
    expect(await put("erp%2F1", { lastName: "Rao" })).toMatchObject({ status: 200, body: { version: 2 } });
    const found = await admin.get("/leads/by-external-id/erp%2F1");
    expect(found).toMatchObject({ status: 200, body: { id: id(made), lastName: "Rao" } });
    expect(await admin.get("/leads/by-external-id/erp%2F2")).toMatchObject({ status: 404 });
  });

  test("is replayed with the status it had", async () => {
    const key = { "idempotency-key": "upsert-1" };
    const first = await put("replayed", { email: "two@example.com" }, key);
    const again = await put("replayed", { email: "two@example.com" }, key);
    expect([first.status, again.status]).toEqual([201, 201]);
    expect(again.headers.get("idempotency-replayed")).toBe("true");
    expect(again.headers.get("location")).toBe(first.headers.get("location"));
    expect(again.body).toEqual(first.body);
    const later = { "idempotency-key": "upsert-2" };
    expect((await put("replayed", { lastName: "B" }, later)).status).toBe(200);
    expect((await put("replayed", { lastName: "B" }, later)).status).toBe(200);
  });

  test("is no way to another's lead", async () => {
    const rep = await admin.addUser("sales_rep");
    await put("hidden", { email: "three@example.com" });
    expect(await rep.get("/leads/by-external-id/hidden")).toMatchObject({ status: 404 });
    expect(await (await visitor.register("Elsewhere")).get("/leads/by-external-id/hidden")).toMatchObject({
      status: 404,
    });
  });
});

test("what the form of an upload says is not said in its address", async () => {
  const form = new FormData();
  form.set("file", new Blob(["email\nform@example.com\n"]), "leads.csv");
  expect(await admin.post("/leads/import?dryRun=true", form)).toMatchObject({
    status: 400,
    body: { code: "INVALID_QUERY", errors: [{ path: "dryRun" }] },
  });
});

describe("fields", () => {
  test.each(
    routes.filter(({ hasFields }) => hasFields).map((route) => [route.spec.rest as string, route] as const),
  )("of %s that do not exist are a 400 with those that do", async (_rest, route) => {
    expect(await admin.get(`${pathOf(route)}?fields=secret`)).toMatchObject({
      status: 400,
      body: { errors: [{ path: "fields.0", allowed: expect.arrayContaining(["id"]) }] },
    });
  });

  test("cut one record as they cut a list, and leave its ETag", async () => {
    const leadId = await make("/leads", { email: "cut@example.com" });
    for (const fields of ["fields=email,score", "fields[]=email&fields[]=score"]) {
      const answer = await admin.get(`/leads/${leadId}?${fields}`);
      expect(answer.body).toEqual({ id: leadId, email: "cut@example.com", score: expect.any(Number) });
      expect(answer.headers.get("etag")).toBe('"1"');
    }
  });
});

test("a path that cannot name anything is a 404, and one that can is not", async () => {
  expect(await admin.get("/leads/nobody")).toMatchObject({ status: 404, body: { code: "NOT_FOUND" } });
  expect(await admin.post("/jobs/999999/retry")).toMatchObject({
    status: 404,
    body: { code: "JOB_NOT_FOUND" },
  });
  expect(await admin.get("/jobs/999999")).toMatchObject({ status: 404, body: { code: "JOB_NOT_FOUND" } });
  expect(await admin.get("/jobs/x")).toMatchObject({ status: 404, body: { code: "NOT_FOUND" } });
});

test("a kind is named in the singular", async () => {
  expect(await admin.post("/custom-fields", { kind: "lead", key: "singular" })).toMatchObject({
    status: 201,
    body: { kind: "lead" },
  });
  expect(await admin.get("/custom-fields?filter[kind]=lead&filter[key]=singular&fields=kind")).toMatchObject({
    body: { data: [{ kind: "lead" }] },
  });
  expect(await admin.post("/custom-fields", { kind: "leads", key: "plural" })).toMatchObject({
    status: 422,
    body: {
      errors: [{ path: "kind", allowed: ["lead", "contact", "company", "deal", "product", "activity"] }],
    },
  });
});

test("a write with If-None-Match is refused before it is done: who means only to make does not overwrite", async () => {
  const send = (method: string, path: string, body: object) =>
    fetch(`${admin.origin}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${admin.token}`,
        "content-type": "application/json",
        "if-none-match": "*",
      },
      body: JSON.stringify(body),
    });
  for (const [method, path] of [
    ["PUT", "/leads/by-external-id/none-match"],
    ["POST", "/contacts"],
  ] as const) {
    const answer = await send(method, path, { firstName: "Only new" });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ code: "IF_NONE_MATCH_NOT_SUPPORTED" });
  }
  expect(await admin.get("/leads/by-external-id/none-match")).toMatchObject({ status: 404 });
});

test.each(["0x10", "1e2", "1.0", "%201", "", "-1", "201"])(
  "limit=%s is no number of records",
  async (limit) => {
    expect(await admin.get(`/contacts?limit=${limit}`)).toMatchObject({
      status: 400,
      body: { errors: [{ path: "limit", message: expect.stringContaining("from 1 to 200") as unknown }] },
    });
  },
);

test("a place that the feed never reached is told as a gap", async () => {
  expect(await admin.get("/events?since=999999")).toMatchObject({
    status: 200,
    body: { data: [], gap: true },
  });
  expect(await admin.get("/events?since=")).toMatchObject({ status: 400 });
});
