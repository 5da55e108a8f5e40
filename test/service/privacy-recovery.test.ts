import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { Meta } from "../../mixins/contract/meta.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { makeOrganization, shardUrl } from "../support/leads.ts";
import { eventually } from "../support/eventually.ts";
import { type Node, startNode, testEnv, type TestNode } from "../support/node.ts";
import { completed, countsOf, findTraces } from "../support/privacy.ts";

let databases: string[];
let running: Node | undefined;
/** Starts a node in place of the one that runs. */
const start = async (): Promise<TestNode> => {
  await running?.stop();
  const node = await startNode(testEnv(databases, { SERVICES: "core" }));
  running = node;
  const call: TestNode["call"] = (name, params, meta = {}) =>
    node.broker.call(name, params as never, { meta }) as never;
  return { ...node, databases, call };
};
beforeAll(async () => {
  databases = [await createDatabase(), await createDatabase()];
});
afterAll(async () => {
  await running?.stop();
  for (const url of databases) await dropDatabase(url);
});

const email = "many.times@example.org";
const leads = 1000;
const addLeads = (node: TestNode, meta: Meta) =>
  node.call(
    "leads.bulkCreate",
    { items: Array.from({ length: leads }, () => ({ email, firstName: "Many", lastName: "Times" })) },
    { ...meta },
  );

/** A node, and an organization of it with the person's leads. */
async function startWithLeads() {
  const node = await start();
  const organization = await makeOrganization(node);
  const meta = () => organization.as("admin");
  const url = shardUrl(node, organization.id);
  await addLeads(node, meta());
  return { node, organization, meta, url };
}

test("an erasure whose node stops in the middle goes on on the next, and counts nothing twice", async () => {
  const first = await start();
  const organization = await makeOrganization(first);
  const meta = () => organization.as("admin");
  const url = shardUrl(first, organization.id);
  await addLeads(first, meta());
  const request = await first.call("privacy.createErasure", { email, reason: "Asked for" }, meta());
  const stepOf = async () => {
    const [row] = await inspect<{ step: number | null }>(
      url,
      "SELECT (progress ->> 'step')::int AS step FROM privacy_requests",
    );
    return row?.step ?? 0;
  };
  await eventually(async () => (await stepOf()) >= 4);
  await first.stop();
  const step = await stepOf();
  expect(await inspect(url, "SELECT status FROM privacy_requests")).toEqual([{ status: "running" }]);
  expect(await findTraces(databases, ["many.times"])).not.toEqual([]);

  const second = await start();
  const done = await completed(second, meta(), request);
  expect(step).toBeGreaterThan(3);
  expect(countsOf(done)).toMatchObject({ "leads.leads": leads, "events.events": 2 * leads });
  expect(await findTraces(databases, ["many.times"])).toEqual([]);
});

test("steps that are repeated answer what they answered, and a completed erasure is not run again", async () => {
  const { node, organization, meta, url } = await startWithLeads();
  // as if the node died each time before it could note its step
  await inspect(
    url,
    `CREATE FUNCTION forget_progress() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN
       IF NEW.progress ->> 'step' = '7' AND NEW.epoch < 2 THEN RAISE EXCEPTION 'died'; END IF;
       RETURN NEW;
     END $$;
     CREATE TRIGGER forget_progress BEFORE UPDATE ON privacy_requests FOR EACH ROW EXECUTE FUNCTION forget_progress();`,
  );
  const request = await node.call("privacy.createErasure", { email, reason: "Asked for" }, meta());
  const done = await completed(node, meta(), request, 40_000);
  expect(countsOf(done)).toMatchObject({ "leads.leads": leads, "events.events": 2 * leads });
  await node.broker.call(
    "privacy.erase",
    { requestId: request.id },
    { meta: { organizationId: organization.id, role: "system" } },
  );
  expect(await node.call("privacy.getRequest", { id: request.id }, meta())).toEqual(done);
});

test("an export that was cut off begins anew, and has each record once", async () => {
  const { node, meta, url } = await startWithLeads();
  await inspect(
    url,
    `CREATE FUNCTION lose_piece() RETURNS trigger LANGUAGE plpgsql AS $$
     BEGIN
       IF EXISTS (SELECT FROM privacy_requests r WHERE r.id = NEW.request_id AND r.epoch < 2) AND NEW.position = 0
       THEN RAISE EXCEPTION 'died'; END IF;
       RETURN NEW;
     END $$;
     CREATE TRIGGER lose_piece BEFORE INSERT ON privacy_chunks FOR EACH ROW EXECUTE FUNCTION lose_piece();`,
  );
  const request = await node.call("privacy.createExport", { scope: "organization" }, meta());
  const done = await completed(node, meta(), request, 40_000);
  expect(countsOf(done)).toMatchObject({ "leads.leads": leads });
  expect(await inspect(url, "SELECT epoch FROM privacy_requests WHERE id = $1", [request.id])).toEqual([
    { epoch: 2 },
  ]);
});
