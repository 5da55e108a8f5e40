import { beforeAll, describe, expect, test } from "@jest/globals";
import { kinds } from "../../entities/kinds.ts";
import { columnOf } from "../../mixins/records/finding/listing.ts";
import type { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";
import { shardUrl } from "../support/leads.ts";
import { originOf, type TestNode } from "../support/node.ts";
import { RawHttp } from "../support/raw-http.ts";
import { bodyOf, kindsThat, listOf, recordWorld, unique, type Body } from "../support/records.ts";

let node: TestNode;
let admin: Client;
let rep: Client;
let stranger: Client;
beforeAll(async () => {
  ({ node, admin, rep, stranger } = await recordWorld("Records"));
});

describe.each(kindsThat("upsert"))("%s", (plural, kind) => {
  const path = `/${plural}`;
  const [main = ""] = kind.title;
  const input = (more: Record<string, unknown> = {}) => ({ [main]: `Name ${unique()}`, ...more });
  const make = async (more: Record<string, unknown> = {}, by = admin): Promise<Body> => {
    const answer = await by.post(path, input(more));
    expect(answer).toMatchObject({ status: 201 });
    return bodyOf(answer);
  };

  test("come back as they were given, at the address that the answer names", async () => {
    const given = {
      ...kind.example,
      externalId: unique(),
      tags: ["a, b", "hot"],
      customFields: { city: "पुणे" },
    };
    const made = await admin.post(path, given);
    expect(made).toMatchObject({ status: 201, body: given });
    expect(bodyOf(made)).toMatchObject({ version: 1, createdAt: bodyOf(made).updatedAt });
    const found = await admin.get(`${made.headers.get("location")?.replace(/.*\/api\/v1/, "")}`);
    expect(found.body).toEqual(made.body);
    expect(found.headers.get("etag")).toBe('"1"');
  });

  test("are somebody: what says nothing of whom is refused, with the names of what would", async () => {
    const answer = await admin.post(path, { tags: ["lonely"] });
    expect(answer).toMatchObject({ status: 422, body: { code: "VALIDATION_FAILED" } });
    expect(JSON.stringify(answer.body)).toContain(kind.identifiedBy.join(", "));
  });

  test("stay somebody: no change, bulk change, merge or way back takes the last of what says who", async () => {
    const unidentified = { status: 422, body: { errors: [{ path: "", code: "unidentified" }] } };
    const nothing = Object.fromEntries(kind.identifiedBy.map((key) => [key, null]));
    const one = await make({ externalId: unique() });
    const refused = await admin.send("PATCH", `${path}/${one.id}`, nothing);
    expect(refused).toMatchObject(unidentified);
    expect(JSON.stringify(refused.body)).toContain(kind.identifiedBy.join(", "));
    expect(await admin.send("PATCH", `${path}/${one.id}`, { [main]: null })).toMatchObject({ status: 200 });

    const other = await make();
    const { externalId: _, ...changes } = nothing;
    const begun = await admin.send("PATCH", `${path}/bulk`, { ids: [other.id, one.id], changes });
    const operation = `/operations/${bodyOf(begun).id}`;
    await eventually(async () => bodyOf(await admin.get(operation)).status === "completed");
    expect((await admin.get(operation)).body).toMatchObject({
      failed: 1,
      errors: [{ id: other.id, code: "VALIDATION_FAILED" }],
    });

    // each says by another field who it is, and every other field is taken from the other
    await admin.send("PATCH", `${path}/${one.id}`, { externalId: null, [main]: "One" });
    const last = kind.identifiedBy.find((key) => key !== main && key !== "externalId");
    if (last === undefined) return;
    const value = { email: `${unique()}@example.com`, phone: "+919876543210" }[last] ?? `${unique()}.example`;
    const bare = await make({ [last]: value });
    await admin.send("PATCH", `${path}/${bare.id}`, { [main]: null });
    const merging = { loserIds: [bare.id], take: { [main]: bare.id, [last]: one.id } };
    expect(await admin.post(`${path}/${one.id}/merge`, merging)).toMatchObject(unidentified);

    // a record from before that was nobody
    const url = shardUrl(node, admin.organizationId);
    await inspect(
      url,
      `UPDATE events SET data = jsonb_set(data, '{record}', data -> 'record' || $2) WHERE entity_id = $1`,
      [bare.id, nothing],
    );
    expect(await admin.post(`${path}/${bare.id}/revert`, { version: 1 })).toMatchObject(unidentified);
  });

  test.each([".", ".."])("have no external id %s, which no address could name", async (externalId) => {
    const refused = { path: "externalId", code: "not_an_address" };
    const answer = { status: 422, body: { errors: [refused] } };
    expect(await admin.post(path, input({ externalId }))).toMatchObject(answer);
    const made = await make();
    expect(await admin.send("PATCH", `${path}/${made.id}`, { externalId })).toMatchObject(answer);
    const { results } = (await admin.post(`${path}/bulk`, { items: [input({ externalId })] })).body as {
      results: unknown[];
    };
    expect(results).toMatchObject([{ status: 422, error: { errors: [refused] } }]);
    // fetch would ask for another address, as it does for %2E
    const body = JSON.stringify(input());
    const connection = (await RawHttp.open(originOf(node))).begin(
      "PUT",
      `/api/v1${path}/by-external-id/${externalId.replaceAll(".", "%2E")}`,
      {
        Authorization: `Bearer ${admin.token}`,
        "Content-Type": "application/json",
        "Content-Length": Buffer.byteLength(body),
      },
      body,
    );
    expect(await connection.answer()).toMatchObject(answer);
    connection.end();
  });

  test("are changed field by field; custom fields key by key; what changes nothing makes no version", async () => {
    const made = await make({ tags: ["one"], customFields: { a: 1, b: "two" } });
    const changed = await admin.send("PATCH", `${path}/${made.id}`, {
      tags: ["one", "two"],
      customFields: { a: null, c: true },
    });
    expect(changed).toMatchObject({ status: 200, body: { version: 2, tags: ["one", "two"] } });
    expect(bodyOf(changed).customFields).toEqual({ b: "two", c: true });
    const same = await admin.send("PATCH", `${path}/${made.id}`, { tags: ["one", "two"] });
    expect(same.body).toEqual(changed.body);
    const stale = await admin.send("PATCH", `${path}/${made.id}`, { tags: [] }, { "if-match": '"1"' });
    expect(stale).toMatchObject({ status: 412 });
  });

  test("are filtered, sorted and counted", async () => {
    const tag = unique();
    const names = ["Bela", "Anna", "Cora"].map((name) => `${name} ${tag}`);
    for (const name of names) await make({ [main]: name, tags: [tag] });
    const page = await admin.get(`${path}?filter[tags][contains]=${tag}&sort=createdAt&limit=2&count=true`);
    expect(page).toMatchObject({ status: 200, body: { page: { hasMore: true, total: 3 } } });
    const { nextCursor } = (page.body as { page: { nextCursor: string } }).page;
    const rest = await admin.get(
      `${path}?filter[tags][contains]=${tag}&sort=createdAt&limit=2&cursor=${encodeURIComponent(nextCursor)}`,
    );
    expect([...listOf(page), ...listOf(rest)].map((one) => one[main])).toEqual(names);
    const one = await admin.get(
      `${path}?filter[${main}]=${encodeURIComponent(`Anna ${tag}`)}&fields=id,tags`,
    );
    expect(listOf(one)).toEqual([{ id: expect.any(String), tags: [tag] }]);
    expect(await admin.get(`${path}?filter[nosuch]=1`)).toMatchObject({ status: 400 });
  });

  const [folded] = ["email", "domain"].filter((key) => key in kind.fields);
  if (folded !== undefined && "phone" in kind.fields)
    test("are found by another case of an email or a domain, and another form of a phone", async () => {
      const key = folded;
      const value = key === "email" ? `${unique()}@example.com` : `${unique()}.example`;
      const made = await make({ [key]: value.toUpperCase(), phone: "098765 43210" });
      expect(
        listOf(await admin.get(`${path}?filter[${key}]=${encodeURIComponent(value.toUpperCase())}`)),
      ).toMatchObject([{ id: made.id, [key]: value, phone: "+919876543210" }]);
      const byPhone = listOf(
        await admin.get(`${path}?filter[phone]=${encodeURIComponent("+91 98765-43210")}`),
      );
      expect(byPhone.map(({ id }) => id)).toContain(made.id);
      expect(await admin.get(`${path}?filter[phone]=nobody`)).toMatchObject({ status: 400 });
    });

  test("are deleted and brought back, but not over another that took their external id", async () => {
    const externalId = unique();
    const made = await make({ externalId });
    expect(await admin.send("DELETE", `${path}/${made.id}`)).toMatchObject({ status: 204 });
    expect(await admin.get(`${path}/${made.id}`)).toMatchObject({
      status: 404,
      body: { code: `${kind.name.toUpperCase()}_NOT_FOUND` },
    });
    const other = await make({ externalId });
    const refused = await admin.post(`${path}/${made.id}/restore`);
    expect(refused).toMatchObject({ status: 409, body: { code: "EXTERNAL_ID_TAKEN" } });
    expect(JSON.stringify(refused.body)).toContain(other.id);
    await admin.send("DELETE", `${path}/${other.id}`);
    const restored = await admin.post(`${path}/${made.id}/restore`);
    expect(restored).toMatchObject({ status: 200, body: { externalId, version: 3 } });
    expect(bodyOf(await admin.get(`${path}/${made.id}`))).toEqual(restored.body);
  });

  test("are made or changed by their external id, and found by it", async () => {
    const externalId = unique();
    const at = `${path}/by-external-id/${externalId}`;
    const made = await admin.send("PUT", at, input());
    expect(made).toMatchObject({ status: 201, body: { externalId, version: 1 } });
    expect(made.headers.get("location")).toContain(`${path}/${bodyOf(made).id}`);
    const changed = await admin.send("PUT", at, { tags: ["again"] });
    expect(changed).toMatchObject({ status: 200, body: { id: bodyOf(made).id, version: 2 } });
    expect((await admin.get(at)).body).toEqual(changed.body);
    expect(await admin.post(path, input({ externalId }))).toMatchObject({
      status: 409,
      body: { code: "EXTERNAL_ID_TAKEN" },
    });
  });

  test("of two that make the same external id at once one makes it, the other changes it", async () => {
    const at = `${path}/by-external-id/${unique()}`;
    const answers = await Promise.all(
      Array.from({ length: 8 }, (_, index) => admin.send("PUT", at, input({ tags: [`t${index}`] }))),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([
      ...Array.from({ length: 7 }, () => 200),
      201,
    ]);
    expect(new Set(answers.map((answer) => bodyOf(answer).id)).size).toBe(1);
    expect(bodyOf(await admin.get(at)).version).toBe(8);
  });

  test("come in bulk, each judged by itself", async () => {
    const externalId = unique();
    const answer = await admin.post(`${path}/bulk`, {
      items: [
        input({ externalId }),
        { tags: 7 },
        input({ externalId }),
        ...(kind.owner === undefined ? [] : [input({ [kind.owner]: stranger.userId })]),
      ],
    });
    const { results } = answer.body as { results: { status: number; error?: { code: string } }[] };
    expect(results.map(({ status }) => status)).toEqual([201, 422, 409, 422].slice(0, results.length));
    expect(results[2]?.error?.code).toBe("EXTERNAL_ID_TAKEN");
  });

  test("tell who changed what, from what to what, and go back to what they were", async () => {
    const made = await make({ tags: ["old"], customFields: { a: 1 } });
    await admin.send("PATCH", `${path}/${made.id}`, { tags: ["new"], customFields: { a: 2, b: 3 } });
    const history = await admin.get(`${path}/${made.id}/history`);
    expect(listOf(history)).toMatchObject([
      {
        version: 2,
        actorId: admin.userId,
        changes: { tags: [["old"], ["new"]], "customFields.a": [1, 2], "customFields.b": [null, 3] },
      },
      { version: 1, type: `${kind.name}.created` },
    ]);
    const reverted = await admin.post(`${path}/${made.id}/revert`, { version: 1 });
    expect(reverted).toMatchObject({
      status: 200,
      body: { version: 3, tags: ["old"], customFields: { a: 1 } },
    });
    expect(await admin.post(`${path}/${made.id}/revert`, { version: 77 })).toMatchObject({
      status: 409,
      body: { code: "VERSION_NOT_KEPT" },
    });
    expect(listOf(await admin.get(`${path}/${made.id}/timeline?limit=1`))).toMatchObject([
      { type: `${kind.name}.updated`, entityVersion: 3 },
    ]);
  });

  const { owner } = kind;
  if (owner !== undefined)
    test("go back without asking for what stays as it is: an owner who has left stays the owner", async () => {
      const leaver = await admin.addUser("sales_rep");
      await admin.send("PATCH", `/users/${leaver.userId}`, { isActive: false });
      const made = await make({ tags: ["old"] });
      await admin.send("PATCH", `${path}/${made.id}`, { tags: ["new"] });
      // as if it had been theirs from the beginning: a process remembers for a while who is active
      const url = shardUrl(node, admin.organizationId);
      await inspect(url, `UPDATE ${plural} SET ${columnOf(owner)} = $2 WHERE id = $1`, [
        made.id,
        leaver.userId,
      ]);
      await inspect(
        url,
        `UPDATE events SET data = jsonb_set(data, '{record,${owner}}', to_jsonb($2::text)) WHERE entity_id = $1`,
        [made.id, leaver.userId],
      );
      const reverted = await admin.post(`${path}/${made.id}/revert`, { version: 1 });
      expect(reverted).toMatchObject({ status: 200, body: { [owner]: leaver.userId, tags: ["old"] } });
    });

  const [key] = Object.entries(kind.fields).flatMap(([name, { matches }]) => (matches ? [name] : []));
  if (key !== undefined)
    test("show who they may be else, and by what", async () => {
      const value = key === "email" ? `${unique()}@example.com` : `${unique()}.example.com`;
      const one = await make({ [key]: value });
      const other = await make({ [key]: kind.fields[key]?.normalise ? value.toUpperCase() : value });
      const { data } = (await admin.get(`${path}/${one.id}/duplicates`)).body as {
        data: { record: Body; matchedBy: string[] }[];
      };
      expect(data).toMatchObject([{ record: { id: other.id }, matchedBy: [key] }]);
    });

  if (owner !== undefined)
    test("belong to somebody: a rep sees its own, gives none away and owns what it makes", async () => {
      const hidden = await make();
      const own = await make({}, rep);
      expect(own[owner]).toBe(rep.userId);
      expect(await rep.get(`${path}/${hidden.id}`)).toMatchObject({ status: 404 });
      expect(await rep.send("PATCH", `${path}/${hidden.id}`, { tags: ["mine"] })).toMatchObject({
        status: 404,
      });
      expect(await rep.get(`${path}/${hidden.id}/history`)).toMatchObject({ status: 404 });
      expect(listOf(await rep.get(path)).every((one) => one[owner] === rep.userId)).toBe(true);
      expect(await rep.send("PATCH", `${path}/${own.id}`, { [owner]: admin.userId })).toMatchObject({
        status: 403,
      });
      expect(await stranger.get(`${path}/${own.id}`)).toMatchObject({ status: 404 });
      expect(await admin.send("PATCH", `${path}/${own.id}`, { [owner]: stranger.userId })).toMatchObject({
        status: 422,
      });
    });

  const references = Object.entries(kind.fields).flatMap(([key, { refersTo = "", setBy }]) =>
    setBy === "caller" && kinds.get(refersTo)?.isSetting === false
      ? [[key, kinds.get(refersTo)?.plural ?? "", kinds.get(refersTo)?.title[0] ?? ""]]
      : [],
  );
  if (references.length === 0) return;
  test.each(references)(
    "refer by %s to %s that are there and seen, and to no others",
    async (key, others, name) => {
      const [theirs, ours, gone] = await Promise.all(
        [stranger, admin, admin].map(
          async (by) => bodyOf(await by.post(`/${others}`, { [name]: unique() })).id,
        ),
      );
      await admin.send("DELETE", `/${others}/${gone}`);
      expect((await make({ [key]: ours }))[key]).toBe(ours);
      for (const wrong of [theirs, gone, "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f"])
        expect(await admin.post(path, input({ [key]: wrong }))).toMatchObject({
          status: 422,
          body: { errors: [{ path: key, code: "not_found" }] },
        });
      expect(await rep.post(path, input({ [key]: ours }))).toMatchObject({ status: 422 });
      const items = [ours, theirs, gone, String(ours).toUpperCase()].map((id) => input({ [key]: id }));
      const { results } = (await admin.post(`${path}/bulk`, { items })).body as {
        results: { status: number; error?: { errors: object[] } }[];
      };
      expect(results.map(({ status }) => status)).toEqual([201, 422, 422, 201]);
      expect(results[1]?.error?.errors).toMatchObject([{ path: key, code: "not_found" }]);
      const moved = await make({ [key]: ours });
      await admin.send("PATCH", `${path}/${moved.id}`, { [key]: null });
      await admin.send("DELETE", `/${others}/${ours}`);
      expect(await admin.post(`${path}/${moved.id}/revert`, { version: 1 })).toMatchObject({
        status: 422,
        body: { errors: [{ path: key, code: "not_found" }] },
      });
    },
  );
});

test("no company stands above itself, whatever puts it there, also when two are put above each other at once", async () => {
  const make = async (name: string, parentId?: string) =>
    bodyOf(await admin.post("/companies", { name, ...(parentId ? { parentId } : {}), externalId: unique() }));
  const top = await make("Top");
  const middle = await make("Middle", top.id);
  const low = await make("Low", middle.id);
  const loop = { status: 422, body: { errors: [{ path: "parentId", code: "loop" }] } };
  for (const parentId of [top.id, middle.id, low.id])
    expect(await admin.send("PATCH", `/companies/${top.id}`, { parentId })).toMatchObject(loop);
  expect(
    await admin.send("PUT", `/companies/by-external-id/${String(top.externalId)}`, { parentId: low.id }),
  ).toMatchObject(loop);
  const [one, two] = [await make("One"), await make("Two")];
  const answers = await Promise.all(
    [
      [one, two],
      [two, one],
    ].map(([of, parent]) => admin.send("PATCH", `/companies/${of?.id}`, { parentId: parent?.id })),
  );
  expect(answers.map(({ status }) => status).sort()).toEqual([200, 422]);
  // what is above becomes part of what is below
  const merged = await admin.post(`/companies/${low.id}/merge`, { loserIds: [top.id] });
  expect(merged).toMatchObject({ status: 200, body: { record: { parentId: null } } });
  expect((await admin.get(`/companies/${middle.id}`)).body).toMatchObject({ parentId: low.id });
});

test("money comes back to the last digit, of currencies with none, two and three", async () => {
  const amounts = { JPY: ["0", "1234567890123456"], INR: ["0.05", "1234567890123456.78"], KWD: ["12.345"] };
  for (const [currency, texts] of Object.entries(amounts))
    for (const amount of texts) {
      const annualRevenue = { amount, currency };
      const made = await admin.post("/companies", { name: "Rich", annualRevenue });
      expect(made).toMatchObject({ status: 201, body: { annualRevenue } });
      const [listed] = listOf(await admin.get("/companies?sort=-createdAt&limit=1&fields=annualRevenue"));
      expect(listed).toEqual({ id: bodyOf(made).id, annualRevenue });
    }
  const annualRevenue = { amount: "1234567890123456.789", currency: "KWD" };
  const tooLong = await admin.post("/companies", { name: "Rich", annualRevenue });
  expect(tooLong).toMatchObject({ status: 422, body: { errors: [{ path: "annualRevenue.amount" }] } });
});
