import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "@jest/globals";
import { abandonMove, type MoveStep } from "../../mixins/database/moves/move.ts";
import { inspect } from "../support/database.ts";
import { makeOrganization, type TestOrganization } from "../support/leads.ts";
import { feedTroubles, move, moveAndDie, rowsByDatabase, storedLeads } from "../support/movers.ts";
import { eventually, startTestNode, type TestNode } from "../support/node.ts";
import { Writers } from "../support/writers.ts";

let node: TestNode;
let org: TestOrganization;
let writers: Writers | undefined;
beforeAll(async () => {
  node = await startTestNode();
});
afterAll(() => node.stop());
beforeEach(async () => {
  org = await makeOrganization(node);
});
afterEach(() => writers?.stop());

const startWriters = () => (writers = new Writers(node, org.as("admin"), 2));
const home = () => node.runtime.database.homes.indexOf(org.id);
const other = () => 1 - home();
const create = (firstName: string) => node.call("leads.create", { firstName }, org.as("admin"));
/** Leads at home and elsewhere. */
const leads = async () => {
  const counts = await rowsByDatabase(node, org.id, "leads");
  return { home: counts[home()], elsewhere: counts[other()] };
};
const sequenced = () => eventually(async () => (await feedTroubles(node, org.id)).length === 0);

const beforeTheSwitch: MoveStep[] = ["copy", "pause", "switch"];
const behindTheSwitch: MoveStep[] = ["announce", "clean up"];

test.each(beforeTheSwitch)(
  "a mover that dies before it comes to `%s` has moved nothing, and another begins anew",
  async (step) => {
    const writers = startWriters();
    const from = home();
    await eventually(() => writers.told.size > 5);
    await moveAndDie(node, org.id, 1 - from, step);
    const before = writers.told.size;
    await eventually(() => writers.told.size > before + 5);
    expect(home()).toBe(from);
    await move(node, org.id, 1 - from);
    await writers.stop();
    expect(writers.unexpected).toEqual([]);
    expect(home()).toBe(1 - from);
    expect(await storedLeads(node, org.id)).toEqual(writers.told);
    expect((await leads()).elsewhere).toBe(0);
    await sequenced();
  },
);

test.each(behindTheSwitch)(
  "a mover that dies behind the switch, at `%s`, has moved it: it works, and another mover cleans up",
  async (step) => {
    const writers = startWriters();
    const from = home();
    await eventually(() => writers.told.size > 5);
    await moveAndDie(node, org.id, 1 - from, step);
    const before = writers.told.size;
    await eventually(() => writers.told.size > before + 5);
    expect(home()).toBe(1 - from);
    await move(node, org.id, 1 - from);
    await writers.stop();
    expect(writers.unexpected).toEqual([]);
    expect(await storedLeads(node, org.id)).toEqual(writers.told);
    expect((await leads()).elsewhere).toBe(0);
    await sequenced();
  },
);

test("a move that was left half done can be taken back", async () => {
  await create("a");
  const from = home();
  await moveAndDie(node, org.id, 1 - from, "pause");
  expect((await leads()).elsewhere).toBe(1);
  await abandonMove(node.databases, node.runtime.database.homes, org.id);
  await create("b");
  expect(home()).toBe(from);
  expect(await leads()).toEqual({ home: 2, elsewhere: 0 });
  await move(node, org.id, 1 - from);
  await expect(abandonMove(node.databases, node.runtime.database.homes, org.id)).rejects.toThrow(
    "not being moved",
  );
  expect(await leads()).toEqual({ home: 2, elsewhere: 0 });
});

test("an organization is not erased while it is moved, nor moved while it is erased", async () => {
  await create("a");
  await moveAndDie(node, org.id, other(), "pause");
  await inspect(
    node.databases[0] as string,
    "UPDATE control.organizations SET deletion_due_at = now() WHERE id = $1",
    [org.id],
  );
  const erase = () =>
    node.broker.call("identity.eraseOrganization", { organizationId: org.id }, { meta: { role: "system" } });
  await erase();
  expect(await leads()).toEqual({ home: 1, elsewhere: 1 });
  await abandonMove(node.databases, node.runtime.database.homes, org.id);
  await inspect(
    node.databases[0] as string,
    "UPDATE control.organizations SET erasing_at = now() WHERE id = $1",
    [org.id],
  );
  await expect(move(node, org.id, other())).rejects.toThrow("is being erased");
  await erase();
  expect(await leads()).toEqual({ home: 0, elsewhere: 0 });
});
