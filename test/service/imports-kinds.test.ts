import { beforeAll, describe, expect, test } from "@jest/globals";
import { parse } from "csv-parse/sync";
import { stringify } from "csv-stringify/sync";
import fc from "fast-check";
import type { Meta } from "../../mixins/contract/meta.ts";
import { importKeysOf } from "../../mixins/records/importing/keys.ts";
import { eventually } from "../support/eventually.ts";
import { anyInput, exported } from "../support/files-of-kinds.ts";
import { buildMeta, ended, rejectedRows, upload } from "../support/imports.ts";
import { Importing, countsOf } from "../support/importing.ts";
import { kindsThat } from "../support/records.ts";
import { makeOrganization } from "../support/leads.ts";
import { shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let on: Importing;
beforeAll(async () => {
  node = await shareNode();
  on = new Importing(node);
});

describe.each(kindsThat("import"))("a file of %s", (plural, kind) => {
  const [main = ""] = kind.title;
  const call = <T = Record<string, unknown>>(name: string, params: object, meta: Meta): Promise<T> =>
    node.broker.call<T, object>(name, params, { meta: { ...meta } });
  const make = (meta: Meta, input: Record<string, unknown>) =>
    call<{ id: string; version: number }>(`${plural}.create`, input, meta);
  const bring = (file: string | Buffer, params = {}, meta: Meta = buildMeta()) =>
    on.importFile(file, params, meta, plural);
  const recordsOf = (meta: Meta) => on.recordsOf(plural, meta);
  const rollBack = async (meta: Meta, id: string) => {
    await call("imports.rollback", { id }, meta);
    return eventually(async () => {
      const view = await call<{ status: string }>("imports.get", { id }, meta);
      return view.status === "rolled_back" ? view : null;
    });
  };
  const typesOf = async (meta: Meta) =>
    (await on.rowsOf<{ type: string }>(meta, "events", "type")).map(({ type }) => type);

  test("says its kind, and makes a record a row that the feed tells of", async () => {
    const { meta, view } = await bring(`External Id,${main},Town\n1,Asha,Pune\n2,Ravi,\n`);
    expect(view).toMatchObject({ kind: kind.name, status: "completed", created: 2, associated: {} });
    expect(await recordsOf(meta)).toMatchObject([
      { externalId: "1", [main]: "Asha", customFields: { town: "Pune" } },
      { externalId: "2", [main]: "Ravi" },
    ]);
    expect((await typesOf(meta)).filter((type) => type === `${kind.name}.created`)).toHaveLength(2);
    const { data } = await call<{ data: unknown[] }>("imports.list", { filter: { kind: kind.name } }, meta);
    expect(data).toMatchObject([{ kind: kind.name }]);
  });

  test("that an export wrote makes the same records elsewhere", async () => {
    const from = (await makeOrganization(node)).as("admin");
    const keys = importKeysOf(kind);
    const items = fc.sample(anyInput(kind), { numRuns: 100, seed: 7 }).map((one, index) => ({
      ...one,
      externalId: `e${index}`,
      ...(keys.includes("email") && index % 2 ? { email: `p${index}@example.com` } : {}),
      ...(keys.includes("domain") && index % 2 ? { domain: `d${index}.example` } : {}),
      ...(keys.includes("name") && index % 3 ? { name: `=N${index}` } : {}),
    }));
    const { results } = await call<{ results: { status: number }[] }>(
      `${plural}.bulkCreate`,
      { items },
      from,
    );
    expect(results.filter(({ status }) => status !== 201)).toEqual([]);
    const file = await exported(node, kind, from);
    // ids that only the one organization has
    const own = Object.keys(kind.fields).filter((key) => kind.fields[key]?.isNamed);
    const { meta, view, id } = await bring(file, {
      mapping: Object.fromEntries(own.map((key) => [key, null])),
    });
    expect({ view: countsOf(view), told: await on.reasonsOf(meta, id) }).toEqual({
      view: { created: 100, updated: 0, skipped: 0, failed: 0, processed: 100, total: 100 },
      told: [],
    });
    // what the service says anew of each
    const isItsOwn = (key: string) => {
      const field = kind.fields[key];
      if (!field) return key === "included" || key === "sensitive";
      return !field.isNamed && (field.setBy === "caller" || field.isImported);
    };
    const same = async (whose: Meta) =>
      (await recordsOf(whose))
        .map((one) => Object.fromEntries(Object.entries(one).filter(([key]) => isItsOwn(key))))
        .sort((a, b) => Number(String(a.externalId).slice(1)) - Number(String(b.externalId).slice(1)));
    expect(await same(meta)).toEqual(await same(from));
  }, 60_000);

  test("that is sent twice at once makes each record once", async () => {
    const meta = buildMeta();
    const file = `External Id,${main}\n${Array.from({ length: 300 }, (_, i) => `r${i},Name ${i}\n`).join("")}`;
    const uploads = await Promise.all([
      upload(node, meta, file, {}, plural),
      upload(node, meta, file, {}, plural),
    ]);
    const views = await Promise.all(uploads.map(({ id }) => ended(node, meta, id)));
    expect(views.map(({ failed }) => failed)).toEqual([0, 0]);
    expect(views.map(({ created, skipped }) => created + skipped)).toEqual([300, 300]);
    const stored = await on.rowsOf(meta, plural);
    expect(stored).toHaveLength(300);
  });

  test("has ids that a spreadsheet has cut refused, and the mended report comes in as it is", async () => {
    const { meta, id, view } = await bring(`External Id,${main}\n5.1E+10,Asha\nx2,Ravi\n5.1E+10,Mina\n`);
    expect(view).toMatchObject({ created: 1, failed: 2 });
    const report = await rejectedRows(node, meta, id);
    const rows = parse<Record<string, string>>(report, { columns: true });
    expect(rows).toMatchObject([{ row: "1" }, { row: "3" }]);
    const mended = stringify(
      rows.map((row, index) => ({ ...row, "External Id": `5100000000${index}` })),
      { header: true },
    );
    const again = await bring(mended, {}, meta);
    expect(again.view).toMatchObject({ created: 2, failed: 0 });
    expect(
      (await recordsOf(meta)).every(({ customFields }) => Object.keys(customFields as object).length === 0),
    ).toBe(true);
  });

  test("run dry counts, and writes nothing", async () => {
    const { meta, view } = await bring(`External Id,${main},Town\n1,Asha,Pune\n`, { dryRun: true });
    expect(view).toMatchObject({ isDryRun: true, created: 1 });
    expect(await on.rowsOf(meta, plural)).toEqual([]);
    expect(await on.fieldsOf(meta)).toEqual({});
  });

  test("lists what it skipped, and with update changes what is there", async () => {
    const meta = buildMeta();
    const { id } = await make(meta, { externalId: "x1", [main]: "Asha" });
    const skipped = await bring(`External Id,${main}\nx1,Changed\n`, {}, meta);
    expect(skipped.view).toMatchObject({ skipped: 1 });
    expect(await on.reasonsOf(meta, skipped.id)).toEqual([
      `1 skipped: the ${kind.name} ${id} has this externalId`,
    ]);
    const changed = await bring(`External Id,${main}\nx1,Changed\n`, { onDuplicate: "update" }, meta);
    expect(changed.view).toMatchObject({ updated: 1 });
    expect(await recordsOf(meta)).toMatchObject([{ id, version: 2, [main]: "Changed" }]);
  });

  test("never joins by a weaker key two whom a stronger one tells apart", async () => {
    const keys = importKeysOf(kind);
    const [weaker = ""] = keys.slice(1).filter((key) => kind.fields[key]?.format !== "phone");
    if (weaker === "") return;
    const value = weaker === "email" ? "one@example.com" : "one.example";
    const { meta, view } = await bring(`External Id,${main},${weaker}\n1,Asha,${value}\n2,Ravi,${value}\n`, {
      onDuplicate: "update",
    });
    expect(view).toMatchObject({ created: 2, updated: 0 });
    const more = await bring(`${main},${weaker}\nOne,${value}\n`, { onDuplicate: "skip" }, meta);
    expect(more.view).toMatchObject({ created: 0, skipped: 1 });
  });

  test("that would give a record another's unique value has that row alone refused", async () => {
    const meta = (await makeOrganization(node)).as("admin");
    await call("custom-fields.create", { kind: kind.name, key: "badge", type: "text", isUnique: true }, meta);
    await make(meta, { externalId: "a", [main]: "A", customFields: { badge: "1" } });
    await make(meta, { externalId: "b", [main]: "B", customFields: { badge: "2" } });
    const { id, view } = await bring(
      "External Id,Badge,Note\nb,1,lost\na,1,\nb,3,\nc,3,\nd,4,\n",
      { onDuplicate: "update" },
      meta,
    );
    expect(view).toMatchObject({ status: "completed", created: 1, updated: 2, failed: 2 });
    expect(await on.reasonsOf(meta, id)).toEqual([
      `1 Another ${kind.name} has this value of the unique custom field badge.`,
      `4 Another ${kind.name} has this value of the unique custom field badge.`,
    ]);
    const badges = Object.fromEntries<unknown>(
      (await recordsOf(meta)).map(({ externalId, customFields }) => [String(externalId), customFields]),
    );
    expect(badges).toEqual({ a: { badge: "1" }, b: { badge: "3" }, d: { badge: "4" } });
  });

  describe("that is rolled back", () => {
    test("leaves nothing: neither records nor the custom fields that it defined", async () => {
      const { meta, id } = await bring(`External Id,${main},Town,Seats\n1,Asha,Pune,3\n2,Ravi,Goa,4\n`);
      expect(await on.fieldsOf(meta)).toEqual({ town: "text", seats: "number" });
      await rollBack(meta, id);
      expect(await recordsOf(meta)).toEqual([]);
      expect(await on.fieldsOf(meta)).toEqual({});
      expect(await on.rowsOf(meta, "import_record_changes")).toEqual([]);
    });

    test("keeps custom fields that others use or have changed", async () => {
      const { meta, id } = await bring(`External Id,${main},Town,Seats,Color,Size\n1,Asha,Pune,3,red,XL\n`);
      await call(
        "views.create",
        { kind: kind.name, name: "Sizes", columns: ["customFields.size"], isShared: false },
        meta,
      );
      await make(meta, { [main]: "Other", customFields: { town: "Goa" } });
      const { data } = await call<{ data: { id: string; key: string }[] }>("custom-fields.list", {}, meta);
      const color = data.find(({ key }) => key === "color");
      await call("custom-fields.update", { id: color?.id, label: "Colour" }, meta);
      await rollBack(meta, id);
      expect(await on.fieldsOf(meta)).toEqual({ color: "text", size: "text", town: "text" });
    });

    test("gives what it changed back, and keeps what somebody worked on since", async () => {
      const meta = buildMeta();
      await make(meta, { externalId: "1", [main]: "Before" });
      const { id } = await bring(
        `External Id,${main}\n1,After\n2,New\n3,Worked on\n`,
        { onDuplicate: "update" },
        meta,
      );
      const worked = (await recordsOf(meta)).find(({ externalId }) => externalId === "3");
      await call(`${plural}.update`, { id: worked?.id, tags: ["mine"] }, meta);
      await rollBack(meta, id);
      expect((await recordsOf(meta)).map((one) => [one.externalId, one[main]])).toEqual([
        ["1", "Before"],
        ["3", "Worked on"],
      ]);
    });
  });

  if (kind.fields.email?.personal === "email")
    test("does not bring back whom an erasure has erased", async () => {
      const meta = (await makeOrganization(node)).as("admin");
      await make(meta, { email: "gone@example.com", [main]: "Gone" });
      const erasure = await call<{ id: string }>(
        "privacy.createErasure",
        { email: "gone@example.com", reason: "asked" },
        meta,
      );
      await eventually(async () => {
        const { status } = await call<{ status: string }>("privacy.getRequest", { id: erasure.id }, meta);
        return status === "completed" || null;
      });
      const { id, view } = await bring(
        `Email,${main}\ngone@example.com,Gone\nstays@example.com,Stays\n`,
        {},
        meta,
      );
      expect(view).toMatchObject({ created: 1, failed: 1 });
      expect(await on.reasonsOf(meta, id)).toEqual([expect.stringContaining("erased_person")]);
      expect(await rejectedRows(node, meta, id)).not.toContain("gone@");
    });
});
