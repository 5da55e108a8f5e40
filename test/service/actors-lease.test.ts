import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { seeEachOther, startCounterNode, type CounterNode } from "../support/counter.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { startNats, type NatsServer } from "../support/nats.ts";
import { eventually } from "../support/eventually.ts";

let nats: NatsServer;
let database: string;
let cut: CounterNode;
let other: CounterNode;
beforeAll(async () => {
  [nats, database] = await Promise.all([startNats(), createDatabase()]);
  [cut, other] = await Promise.all([
    startCounterNode([database], nats.url, { name: "cut" }),
    startCounterNode([database], nats.url, { name: "other" }),
  ]);
  await seeEachOther([cut, other]);
});
afterAll(async () => {
  await Promise.all([cut.stop(), other.stop()]);
  await nats.stop();
  await dropDatabase(database);
});

const ownedBy = async (owner: string) =>
  (await inspect<{ id: string }>(database, "SELECT id FROM actors WHERE owner = $1", [owner])).map(
    ({ id }) => id,
  );

test("a node that cannot renew its lease runs no turn, and its actors go on elsewhere though it is still seen", async () => {
  const organizationId = uuidv7();
  for (let index = 0; index < 12; index++) await cut.counter(organizationId, `cut-${index}`).add({});
  const mine = await ownedBy("cut");
  expect(mine.length).toBeGreaterThan(0);
  await inspect(
    database,
    `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'cut off'; END $$;
     CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON node_leases
       FOR EACH ROW WHEN (NEW.node_id = 'cut') EXECUTE FUNCTION refuse()`,
  );
  await eventually(() => !cut.actors.lease.isHeld(cut.database.control), 9_000);
  // asked at the node itself and at the other; the answer comes when the lease is over, 10 s after its last renewal
  const answers = await Promise.all(
    mine.flatMap((id) => [cut, other].map((node) => node.counter(organizationId, id).add({}))),
  );
  expect(answers.sort()).toEqual(mine.flatMap(() => [2, 3]).sort());
  expect(await ownedBy("cut")).toEqual([]);

  await inspect(database, "DROP FUNCTION refuse() CASCADE");
  await eventually(() => cut.actors.lease.isHeld(cut.database.control));
  const [id = ""] = mine;
  await other.broker.call("counter.actors.move", { organizationId, kind: "counter.tally", id, to: "cut" });
  expect(await other.counter(organizationId, id).add({})).toBe(4);
  expect(await ownedBy("cut")).toEqual([id]);
});
