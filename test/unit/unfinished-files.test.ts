import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "@jest/globals";

const folder = mkdtempSync(join(tmpdir(), "sangam-unfinished-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const reporter = [resolve("test/support/unfinished-files.mjs"), { minutes: 1 / 30 }];
writeFileSync(join(folder, "package.json"), "{}");
writeFileSync(join(folder, "jest.config.json"), JSON.stringify({ reporters: ["default", reporter] }));
writeFileSync(join(folder, "loops.test.js"), 'test("loops", () => { for (;;); });');
for (const name of ["one", "two"]) writeFileSync(join(folder, `${name}.test.js`), 'test("ends", () => {});');

test.each([
  ["beside others in processes of their own", ["--maxWorkers=2"]],
  ["in Jest's own process", ["--runInBand"]],
])("a file that loops for ever ends the run, which names it: %s", async (_title, words) => {
  const jest = spawn(process.execPath, [resolve("node_modules/jest/bin/jest.js"), "--no-cache", ...words], {
    cwd: folder,
    stdio: ["ignore", "ignore", "pipe"],
  });
  let output = "";
  jest.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(jest, "close")) as [number | null];
  expect(code).not.toBe(0);
  expect(output).toContain(`${join(folder, "loops.test.js")} did not finish within`);
});
