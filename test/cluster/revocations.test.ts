import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Client } from "../support/client.ts";
import { createDatabase, dropDatabase } from "../support/database.ts";
import { startProcess, type NodeProcess } from "../support/process.ts";

let databases: string[];
let process: NodeProcess;
const start = () =>
  startProcess("only", { DATABASE_URL: databases[0] as string, DATABASE_SHARDS: databases[1] as string });
beforeAll(async () => {
  databases = [await createDatabase(), await createDatabase()];
  process = await start();
}, 120_000);
afterAll(async () => {
  await process.stop();
  for (const url of databases) await dropDatabase(url);
}, 60_000);

test("what was revoked stays so when the process is killed just then and started anew", async () => {
  const admin = await new Client(process.origin).register("Killed");
  const [leaver, demoted] = [await admin.addUser("viewer"), await admin.addUser("admin")];
  expect((await leaver.post("/auth/logout", {})).status).toBe(204);
  expect((await admin.send("PATCH", `/users/${demoted.userId}`, { role: "viewer" })).status).toBe(200);
  process.kill("SIGKILL");
  process = await start();
  const status = async ({ token }: Client) =>
    (await new Client(process.origin).get("/auth/me", { authorization: `Bearer ${token}` })).status;
  expect([await status(leaver), await status(demoted), await status(admin)]).toEqual([401, 401, 200]);
}, 120_000);
