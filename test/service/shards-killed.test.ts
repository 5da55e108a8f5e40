import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "@jest/globals";
import { abandonMove, type MoveStep } from "../../mixins/database/moves/move.ts";
import { inspect } from "../support/database.ts";
import { makeOrganization, type TestOrganization } from "../support/leads.ts";
import { feedTroubles, move, moveAndDie, rowsByDatabase, storedLeads } from "../support/movers.ts";
import { eventually } from "../support/eventually.ts";
import { startTestNode, type TestNode } from "../support/node.ts";
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

describe.each([0, 1])("erasing an organization of database %d", (homeIndex) => {
  const control = () => node.databases[0] as string;
  const erase = () =>
    node.broker.call("identity.eraseOrganization", { organizationId: org.id }, { meta: { role: "system" } });
  /** Databases with a gate of the organization. */
  const gates = () => rowsByDatabase(node, org.id, "moves.gates");
  beforeEach(async () => {
    while (home() !== homeIndex) org = await makeOrganization(node);
    await create("a");
    await inspect(
      control(),
      "UPDATE control.organizations SET deletion_due_at = now() + interval '1 h' WHERE id = $1",
      [org.id],
    );
  });
  const makeDue = (column: string) =>
    inspect(control(), `UPDATE control.organizations SET ${column} = now() WHERE id = $1`, [org.id]);
  const expectErased = async () => {
    expect(await rowsByDatabase(node, org.id, "leads")).toEqual([0, 0]);
    expect(await gates()).toEqual([0, 0]);
    expect(await inspect(control(), "SELECT 1 FROM control.organizations WHERE id = $1", [org.id])).toEqual(
      [],
    );
  };

  test("waits while it is moved, and it is not moved while it is erased", async () => {
    await moveAndDie(node, org.id, other(), "pause");
    await makeDue("deletion_due_at");
    await erase();
    expect(await leads()).toEqual({ home: 1, elsewhere: 1 });
    await abandonMove(node.databases, node.runtime.database.homes, org.id);
    await makeDue("erasing_at");
    await expect(move(node, org.id, other())).rejects.toThrow("is being erased");
    await erase();
    await expectErased();
  });

  test("reaches what a move has left in its old database", async () => {
    await move(node, org.id, other(), { isKept: true });
    expect(await rowsByDatabase(node, org.id, "leads")).toEqual([1, 1]);
    await makeDue("deletion_due_at");
    await erase();
    await expectErased();
  });
});
