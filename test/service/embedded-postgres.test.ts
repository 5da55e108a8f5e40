import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  startEmbeddedPostgres,
  type EmbeddedOptions,
  type EmbeddedServer,
} from "../../mixins/database/embedded-postgres.ts";
import { endLeftovers, serversIn } from "../../mixins/database/embedded/leftovers.ts";
import { inspect } from "../support/database.ts";
import { copyFolder, makeFolder, postmasterOf, removeFolder } from "../support/embedded.ts";
import { eventually } from "../support/eventually.ts";

const running: EmbeddedServer[] = [];
const folders: string[] = [];
/** A data folder that was stopped in order, to copy. */
let template: string;

const start = async (folder: string, options?: EmbeddedOptions) => {
  const server = await startEmbeddedPostgres(folder, () => undefined, options);
  running.push(server);
  return server;
};
const folderLikeTemplate = () => {
  const folder = copyFolder(template);
  folders.push(folder);
  return folder;
};
const answers = async (server: EmbeddedServer) =>
  (await inspect(server.url("postgres"), "SELECT 1 AS one")).length === 1;
const postmasterFile = (folder: string) => join(folder, "postgres/postmaster.pid");

beforeAll(async () => {
  template = makeFolder();
  const server = await startEmbeddedPostgres(template, () => undefined);
  await server.stop();
}, 120_000);
afterEach(async () => {
  await Promise.all(running.splice(0).map((server) => server.stop()));
  for (const folder of folders.splice(0)) {
    await endLeftovers(join(folder, "postgres"));
    removeFolder(folder);
  }
});
afterAll(() => removeFolder(template));

describe("a folder that a dead process left", () => {
  test("whose postmaster.pid names the PostgreSQL of another folder leaves that one alone", async () => {
    const other = folderLikeTemplate();
    const unrelated = await start(other);
    const folder = folderLikeTemplate();
    writeFileSync(postmasterFile(folder), `${postmasterOf(other)}\n${folder}/postgres\n`);
    const server = await start(folder);
    expect(await answers(server)).toBe(true);
    expect(await answers(unrelated)).toBe(true);
  });

  test.each([
    ["is empty", ""],
    ["names a process that is none of PostgreSQL's", `${process.pid}\n`],
    ["names nobody", "2147483646\n"],
  ])("whose postmaster.pid %s is started in", async (_how, text) => {
    const folder = folderLikeTemplate();
    writeFileSync(postmasterFile(folder), text);
    expect(await answers(await start(folder))).toBe(true);
  });

  test("whose owner.pid names a living node of somebody else is started in", async () => {
    const folder = folderLikeTemplate();
    writeFileSync(join(folder, "owner.pid"), `${process.ppid}\n`);
    expect(await answers(await start(folder))).toBe(true);
  });
});

describe("a folder that is in use", () => {
  test("is refused, and free again when its server was stopped", async () => {
    const folder = folderLikeTemplate();
    const server = await start(folder);
    await expect(start(folder)).rejects.toThrow(
      `${folder} is in use by another Sangam (process ${process.pid}). Stop it, or set DATA_DIR`,
    );
    expect(await answers(server)).toBe(true);
    await server.stop();
    expect(await answers(await start(folder))).toBe(true);
  });

  test("by several starts at once belongs to one of them", async () => {
    const folder = folderLikeTemplate();
    const starts = await Promise.allSettled([start(folder), start(folder), start(folder)]);
    expect(starts.map(({ status }) => status).toSorted()).toEqual(["fulfilled", "rejected", "rejected"]);
    expect(await answers(running[0] as EmbeddedServer)).toBe(true);
  });
});

describe("a server that ends", () => {
  test("is started again on its port, each time, and is stopped in order", async () => {
    const folder = folderLikeTemplate();
    const said: string[] = [];
    const server = await start(folder, { warn: (line) => void said.push(line) });
    const url = server.url("postgres");
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      process.kill(postmasterOf(folder), signal);
      await eventually(() => server.outage() !== undefined);
      await eventually(() => server.outage() === undefined);
      expect(server.url("postgres")).toBe(url);
      expect(await answers(server)).toBe(true);
    }
    expect(said).toEqual([
      "PostgreSQL does not run: it was ended by SIGKILL. It is started again.",
      "PostgreSQL runs again.",
      expect.stringMatching(/^PostgreSQL does not run: .*It is started again\.$/),
      "PostgreSQL runs again.",
    ]);
    await server.stop();
    expect(serversIn(join(folder, "postgres"))).toEqual([]);
  });

  test("ten times in a row is given up, with the reason", async () => {
    const folder = folderLikeTemplate();
    const { promise: givenUp, resolve: onGivenUp } = Promise.withResolvers<Error>();
    const server = await start(folder, { onGivenUp, longestPauseMs: 10 });
    renameSync(join(folder, "postgres/global/pg_control"), join(folder, "pg_control"));
    process.kill(postmasterOf(folder), "SIGKILL");
    expect((await givenUp).message).toMatch(
      /^The embedded PostgreSQL ended 10 times in a row: .*could not find the database system/,
    );
    expect(server.outage()).toMatch(/^PostgreSQL does not run: /);
  });

  test("while it is stopped is not waited for", async () => {
    const folder = folderLikeTemplate();
    const server = await start(folder);
    process.kill(postmasterOf(folder), "SIGKILL");
    const from = performance.now();
    await server.stop();
    expect(performance.now() - from).toBeLessThan(5_000);
    expect(serversIn(join(folder, "postgres"))).toEqual([]);
  });
});

test("a start that is given up throws its reason and frees the folder", async () => {
  const folder = folderLikeTemplate();
  const giving = new AbortController();
  const starting = start(folder, { signal: giving.signal });
  giving.abort(new Error("no more"));
  await expect(starting).rejects.toThrow("no more");
  expect(await answers(await start(folder))).toBe(true);
});
