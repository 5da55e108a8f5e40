import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Client } from "../support/client.ts";
import { Installations, isReady, makeDisk, readiness, whyNoDisk, type Disk } from "../support/embedded.ts";
import { eventually } from "../support/eventually.ts";

const installations = new Installations();
beforeAll(() => installations.prepare(), 180_000);
afterEach(() => installations.clear(), 60_000);
afterAll(() => installations.remove());

const takesLeads = (client: Client) =>
  eventually(async () => (await client.post("/leads", { lastName: "Back" })).status === 201, 30_000);

const noDisk = whyNoDisk();
if (noDisk !== undefined)
  console.warn(
    `SKIPPED: what a full or read-only disk does is not tested here, for none can be mounted (${noDisk}).`,
  );

(noDisk === undefined ? describe : describe.skip)("a disk", () => {
  let disk: Disk;
  afterEach(async () => {
    await installations.stop();
    disk.remove();
  });

  test("that is full is a 503 that says so, and everything goes on when there is space again", async () => {
    disk = makeDisk("size=400m");
    const node = await installations.start(disk.folder);
    const admin = await new Client(node.origin).register("Full");
    const filler = join(disk.folder, "filler");
    const answers: { status: number; body: unknown }[] = [];
    const write = async () => {
      const answer = await admin.post("/leads", { lastName: "Big" });
      answers.push(answer);
      return answer;
    };
    fill(filler);
    await eventually(async () => {
      await Promise.all(Array.from({ length: 20 }, write));
      fill(filler);
      return (await readiness(node)).status === 503;
    }, 50_000);
    const said = await eventually(async () => {
      const answer = await readiness(node);
      return answer.status === 503 && answer.text.includes("no space") && answer;
    }, 20_000);
    expect(said.text).toMatch(/no space (is )?left/);
    await Promise.all(Array.from({ length: 20 }, write));
    const statuses = new Set(answers.map(({ status }) => status));
    statuses.delete(201);
    expect([...statuses]).toEqual([503]);
    expect(answers.map(({ body }) => (body as { code?: string }).code)).toContain("STORAGE_FULL");
    rmSync(filler);
    await isReady(node);
    await takesLeads(admin);
    const stored = answers.filter(({ status }) => status === 201).length + 1;
    const { page } = (await admin.get("/leads?count=true&limit=1")).body as { page: { total: number } };
    expect(page.total).toBeGreaterThanOrEqual(stored);
    const from = performance.now();
    expect(await node.stop()).toBe(0);
    expect(performance.now() - from).toBeLessThan(5_000);
  }, 180_000);

  test("without space for an upload is a 503 for it, after which it takes others", async () => {
    disk = makeDisk("size=1m");
    const node = await installations.start(installations.usedFolder(), { TMPDIR: disk.folder });
    const admin = await new Client(node.origin).register("Spool");
    const send = (bytes: number) => {
      const form = new FormData();
      form.append("file", new File(["Email\n".repeat(bytes / 6)], "leads.csv", { type: "text/csv" }));
      return admin.post("/leads/import", form);
    };
    expect(await send(6_000_000)).toMatchObject({ status: 503, body: { code: "SPOOL_FULL" } });
    expect((await send(60_000)).status).toBe(202);
    expect(readdirSync(disk.folder)).toEqual([]);
  });

  test("without space for a database ends the start with a line, and is used once there is some", async () => {
    disk = makeDisk("size=12m");
    const refused = await installations.launch(disk.folder);
    expect(await refused.ended).toBe(1);
    expect(refused.output()).toMatch(/^Sangam did not start\. .*no space is left on the device\.$/m);
    disk.remount("size=400m");
    await installations.start(disk.folder);
  }, 120_000);

  test("that is read-only ends the start with a line that names the folder", async () => {
    disk = makeDisk("size=12m");
    disk.remount("ro");
    const refused = await installations.launch(disk.folder);
    expect(await refused.ended).toBe(1);
    expect(refused.output().trim()).toMatch(
      new RegExp(`^Sangam did not start\\. DATA_DIR ${disk.folder} cannot be written to: .*$`),
    );
  });
});

/** Takes what is left of the file system that a file is on. */
function fill(path: string): void {
  const chunk = Buffer.alloc(1024 * 1024);
  for (let size = chunk.length; size >= 1;)
    try {
      writeFileSync(path, chunk.subarray(0, size), { flag: "a" });
    } catch {
      size = Math.floor(size / 2);
    }
}
