import { readFileSync } from "node:fs";
import { PassThrough, Readable } from "node:stream";
import { parse } from "csv-parse/sync";
import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { buildMeta, ended, rejectedRows, upload } from "../support/imports.ts";
import { eventually } from "../support/eventually.ts";
import { startNats, type NatsServer } from "../support/nats.ts";
import { type Node, startNode, testEnv } from "../support/node.ts";

// Leads on one node, imports on another, and only NATS between them.
let nats: NatsServer;
let database: string;
let leadsNode: Node;
let importsNode: Node;
beforeAll(async () => {
  [nats, database] = await Promise.all([startNats(), createDatabase()]);
  const start = (services: string) =>
    startNode(testEnv([database], { SERVICES: services, NATS_URL: nats.url }));
  [leadsNode, importsNode] = await Promise.all([start("leads"), start("imports,service:worker")]);
  await leadsNode.broker.waitForServices(["imports"]);
  await importsNode.broker.waitForServices(["leads"]);
});
afterAll(async () => {
  await importsNode.stop();
  await leadsNode.stop();
  await nats.stop();
  await dropDatabase(database);
});

test("a file streams to the leads, its rows to them from the importing node, and the rejected ones back", async () => {
  const meta = buildMeta();
  const [heading = "", ...rows] = readFileSync("test/fixtures/leads-sample.csv", "utf8")
    .trimEnd()
    .split("\r\n");
  // wide rows of letters of three bytes: what makes the largest messages
  const wide = Array.from({ length: 30 }, (_, turn) =>
    rows.map((row) => `${turn}-${row.replace("India", "भारत".repeat(200))}`),
  );
  const bytes = Buffer.from(
    [heading, ...wide.flat(), ...Array.from({ length: 700 }, () => `too${",".repeat(37)}long`)].join("\r\n"),
  );
  const pieces = function* () {
    for (let at = 0; at < bytes.length; at += 70_000) yield bytes.subarray(at, at + 70_000);
  };
  const { id } = await upload(importsNode, meta, Readable.from(pieces(), { objectMode: false }));
  const view = await ended(leadsNode, meta, id, 45_000);
  expect(view).toMatchObject({ status: "completed", created: 1800, failed: 700, total: 2500 });
  const lines = parse(await rejectedRows(leadsNode, meta, id), { relax_column_count: true });
  expect(lines).toHaveLength(701);
  const last = lines.at(-1) ?? [];
  expect([...last.slice(0, 3), last.at(-1)]).toEqual([
    ...["2500", "The row has 38 cells, the heading 37.", "too"],
    "long",
  ]);
});

test("a node that knows an organization's custom fields hears at once of those that an import defines elsewhere", async () => {
  const meta = buildMeta();
  const { definitions } = leadsNode.runtime;
  const known = async () => [...(await definitions.of(meta.organizationId ?? "", "lead")).all.keys()];
  expect(await known()).toEqual([]);
  const { id } = await upload(importsNode, meta, "Email,Town\na@example.com,Pune\n");
  expect(await ended(importsNode, meta, id)).toMatchObject({ created: 1 });
  await eventually(async () => ((await known()).includes("town") ? true : null), 5_000);
  await importsNode.broker.call("imports.rollback", { id }, { meta: { ...meta } });
  await eventually(async () => ((await known()).length === 0 ? true : null), 5_000);
});

test("an upload that breaks off on the way leaves nothing, and both nodes stay up", async () => {
  const breaking = Readable.from(
    (function* () {
      yield Buffer.alloc(300_000, "Email,Name\n");
      throw new Error("the browser was closed");
    })(),
    { objectMode: false },
  );
  await expect(upload(importsNode, buildMeta(), breaking)).rejects.toMatchObject({
    type: "UPLOAD_BROKE_OFF",
  });
  const stored = await inspect(database, "SELECT 1 FROM imports WHERE status = 'uploading'");
  expect(stored).toEqual([]);
  const meta = buildMeta();
  const { id } = await upload(importsNode, meta, "Email\nstill@example.com\n");
  expect(await ended(leadsNode, meta, id)).toMatchObject({ created: 1 });
});

test("an upload that broke off before anybody read it is not taken for a whole one", async () => {
  const stream = new PassThrough();
  stream.write("Email\nfirst@example.com\n");
  const answering = upload(importsNode, buildMeta(), stream);
  // as Moleculer ends a stream whose sender was lost
  setImmediate(() => {
    stream.emit("error", new Error("the browser was closed"));
    stream.end();
  });
  await expect(answering).rejects.toMatchObject({ type: "UPLOAD_BROKE_OFF" });
});
