import { createHash } from "node:crypto";
import { buffer } from "node:stream/consumers";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import yauzl from "yauzl";
import type { Meta } from "../../mixins/contract/meta.ts";
import type { RequestView } from "../../services/privacy/privacy.contract.ts";
import { inspect } from "../support/database.ts";
import { makeOrganization, shardUrl } from "../support/leads.ts";
import { Client } from "../support/client.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, startTestNode, type TestNode } from "../support/node.ts";
import { completed, countsOf, erase } from "../support/privacy.ts";

let node: TestNode;
beforeAll(async () => {
  node = await startTestNode({ SERVICES: "core,gateway" });
});
afterAll(() => node.stop());

const refusal = (code: number, type: string) => expect.objectContaining({ code, type }) as unknown;
const download = async (meta: Meta, id: string): Promise<Buffer> =>
  buffer(
    await node.broker.call<NodeJS.ReadableStream, { id: string }>(
      "privacy.downloadArchive",
      { id },
      { meta: { ...meta } },
    ),
  );

/** The files of a ZIP, by their names. */
async function unzip(bytes: Buffer): Promise<Record<string, string>> {
  const zip = await promisify<Buffer, yauzl.Options, yauzl.ZipFile>(yauzl.fromBuffer)(bytes, {
    lazyEntries: true,
  });
  const files: Record<string, string> = {};
  return new Promise((resolve, reject) => {
    zip.on("entry", (entry: yauzl.Entry) => {
      zip.openReadStream(entry, (error, stream) => {
        if (error) return reject(error);
        buffer(stream).then((content) => {
          files[entry.fileName] = content.toString("utf8");
          zip.readEntry();
        }, reject);
      });
    });
    zip.on("end", () => resolve(files));
    zip.on("error", reject);
    zip.readEntry();
  });
}

const addLeads = (meta: Meta, count: number) =>
  node.call(
    "leads.bulkCreate",
    { items: Array.from({ length: count }, (_, at) => ({ email: `lead${at}@example.org`, firstName: "L" })) },
    { ...meta },
  );

describe("the export of a person", () => {
  let meta: Meta;
  let url: string;
  let request: RequestView;
  let files: Record<string, string>;
  let bytes: Buffer;
  beforeAll(async () => {
    const organization = await makeOrganization(node);
    meta = organization.as("admin");
    url = shardUrl(node, organization.id);
    const asha = { email: "asha@example.org", firstName: "Asha", lastName: "Rao", phone: "+919812345671" };
    await node.call("custom-fields.create", { key: "passport", isSensitive: true }, { ...meta });
    const { id } = await node.call(
      "leads.create",
      { ...asha, customFields: { passport: "K1234567" } },
      { ...meta },
    );
    await node.call("leads.convert", { id }, { ...meta });
    await addLeads(meta, 3);
    request = await completed(
      node,
      meta,
      await node.call("privacy.createExport", { email: asha.email }, { ...meta }),
    );
    bytes = await download(meta, request.id);
    files = await unzip(bytes);
  });

  test("holds a JSON file for each kind, with the person's records and nobody else's", () => {
    expect(JSON.parse(files["leads.leads.json"] ?? "")).toMatchObject([
      { email: "asha@example.org", sensitive_fields: { passport: "K1234567" } },
    ]);
    expect(JSON.parse(files["contacts.contacts.json"] ?? "")).toMatchObject([{ first_name: "Asha" }]);
    expect(files["events.events.json"]).toContain("lead.converted");
    expect(Object.values(files).join("")).not.toContain("lead1@example.org");
    expect(Object.values(files).join("")).not.toContain("password");
  });

  test("has a manifest with the count and the SHA-256 of each file", () => {
    const manifest = JSON.parse(files["manifest.json"] ?? "") as {
      files: { name: string; records: number; bytes: number; sha256: string }[];
    };
    expect(manifest.files.length).toBe(Object.keys(files).length - 1);
    for (const { name, records, bytes: size, sha256 } of manifest.files) {
      const content = files[name] ?? "";
      expect((JSON.parse(content) as unknown[]).length).toBe(records);
      expect(Buffer.byteLength(content)).toBe(size);
      expect(createHash("sha256").update(content).digest("hex")).toBe(sha256);
    }
    expect(countsOf(request)).toMatchObject({ "leads.leads": 1, "contacts.contacts": 1 });
  });

  test("is told in the receipt by its size and SHA-256, and lies sealed in the database", async () => {
    expect(request.archive).toMatchObject({
      bytes: bytes.length,
      sha256: createHash("sha256").update(bytes).digest("hex"),
    });
    const [chunk] = await inspect<{ sealed: Buffer }>(url, "SELECT sealed FROM privacy_chunks");
    expect(chunk?.sealed.includes("manifest.json")).toBe(false);
    expect(chunk?.sealed.includes(bytes.subarray(0, 64).toString("base64"))).toBe(false);
  });

  test("is for admins of the organization alone", async () => {
    const { id } = request;
    const theirs = (await makeOrganization(node)).as("admin");
    const notFound = refusal(404, "PRIVACY_REQUEST_NOT_FOUND");
    await expect(node.call("privacy.getRequest", { id }, theirs)).rejects.toEqual(notFound);
    await expect(download(theirs, id)).rejects.toEqual(notFound);
    await expect(download({ ...meta, role: "manager" }, id)).rejects.toEqual(refusal(403, "FORBIDDEN"));
    expect((await node.call("privacy.listRequests", {}, theirs)).data).toEqual([]);
    expect((await node.call("privacy.listRequests", {}, { ...meta })).data).toEqual([request]);
  });

  test("is gone after 7 days", async () => {
    const { archive, id } = request;
    expect(Date.parse(archive?.expiresAt ?? "") - Date.now()).toBeGreaterThan(6.9 * 86_400_000);
    await inspect(url, "UPDATE privacy_requests SET archive_expires_at = now() - interval '1 second'");
    const gone = refusal(410, "ARCHIVE_GONE");
    await expect(download(meta, id)).rejects.toEqual(gone);
    const scheduledFor = new Date().toISOString();
    await node.broker.call("privacy.findRetention", { scheduledFor }, { meta: { role: "system" } });
    expect(await inspect(url, "SELECT * FROM privacy_chunks")).toEqual([]);
    await expect(download(meta, id)).rejects.toEqual(gone);
    expect(await node.call("privacy.getRequest", { id }, { ...meta })).toMatchObject({ archive: null });
  });
});

test("the export of an organization holds everything, in several pieces", async () => {
  const meta = (await makeOrganization(node)).as("admin");
  for (let round = 0; round < 3; round++) await addLeads(meta, 500);
  const request = await completed(
    node,
    meta,
    await node.call("privacy.createExport", { scope: "organization" }, { ...meta }),
  );
  expect(countsOf(request)).toMatchObject({
    "leads.leads": 1500,
    "events.events": 1501,
    "identity.users": 1,
  });
  const files = await unzip(await download(meta, request.id));
  expect(
    new Set((JSON.parse(files["leads.leads.json"] ?? "") as { id: string }[]).map(({ id }) => id)).size,
  ).toBe(1500);
});

test("an archive is asked for, awaited and downloaded over REST", async () => {
  const admin = await new Client(originOf(node)).register("Exporters");
  await admin.post("/leads", { email: "rest@example.org" });
  const asked = await admin.post("/privacy/exports", { email: "rest@example.org" });
  expect(asked).toMatchObject({ status: 202, body: { kind: "export", status: "pending", archive: null } });
  const path = `/privacy/requests/${(asked.body as RequestView).id}`;
  await eventually(async () => ((await admin.get(path)).body as RequestView).status === "completed");
  const response = await fetch(`${admin.origin}/api/v1${path}/archive`, {
    headers: { authorization: `Bearer ${admin.token}` },
  });
  expect(response.headers.get("content-type")).toBe("application/zip");
  expect(response.headers.get("content-disposition")).toContain("export.zip");
  const files = await unzip(Buffer.from(await response.arrayBuffer()));
  expect(files["leads.leads.json"]).toContain("rest@example.org");
});

test("an erasure drops the archives made before it", async () => {
  const organization = await makeOrganization(node);
  const meta = () => organization.as("admin");
  await addLeads(meta(), 1);
  const request = await completed(
    node,
    meta(),
    await node.call("privacy.createExport", { scope: "organization" }, meta()),
  );
  await erase(node, meta(), { email: "lead0@example.org" });
  await expect(download(meta(), request.id)).rejects.toEqual(refusal(410, "ARCHIVE_GONE"));
});

test("a request names exactly one person, or the organization", async () => {
  const organization = await makeOrganization(node);
  const invalid = refusal(422, "VALIDATION_FAILED");
  for (const params of [
    {},
    { email: "a@example.org", phone: "+4930123456" },
    { scope: "organization", email: "a@b.de" },
  ])
    await expect(
      node.call("privacy.createExport", params as never, organization.as("admin")),
    ).rejects.toEqual(invalid);
  await expect(node.call("privacy.createErasure", { reason: "r" }, organization.as("admin"))).rejects.toEqual(
    invalid,
  );
});
