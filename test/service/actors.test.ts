import { afterAll, beforeAll, describe, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { startCounterNode, type CounterNode } from "../support/counter.ts";
import { createDatabase, dropDatabase, inspect } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";

let database: string;
let node: CounterNode;
beforeAll(async () => {
  database = await createDatabase();
  node = await startCounterNode([database], undefined);
});
afterAll(async () => {
  await node.stop();
  await dropDatabase(database);
});

const organizationId = uuidv7();
let made = 0;
const fresh = () => {
  const id = `c${made++}`;
  return { id, counter: node.counter(organizationId, id) };
};
const rowsOf = async (id: string) =>
  (await inspect(database, "SELECT 1 FROM companies WHERE name LIKE $1 || ' %'", [id])).length;
const stored = async (id: string) =>
  (
    await inspect<{ owner: string | null; epoch: number; version: number; state: { count: number } | null }>(
      database,
      "SELECT owner, epoch, version, state FROM actors WHERE id = $1",
      [id],
    )
  )[0];

describe("a turn", () => {
  test("takes messages one at a time, in the order they came, and stores the state with its writes", async () => {
    const { id, counter } = fresh();
    const answers = await Promise.all(
      Array.from({ length: 50 }, (_, index) => counter.add({ note: String(index) })),
    );
    expect(answers).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
    expect((await counter.get({})).log).toEqual(Array.from({ length: 50 }, (_, index) => String(index)));
    expect(await rowsOf(id)).toBe(50);
    expect(await stored(id)).toMatchObject({
      owner: node.broker.nodeID,
      epoch: 1,
      version: 50,
      state: { count: 50 },
    });
  });

  test("that fails undoes its writes and its state, and its message may be sent again", async () => {
    const { id, counter } = fresh();
    await counter.add({});
    for (let repeat = 0; repeat < 2; repeat++)
      await expect(counter.fail({}, { messageId: "same" })).rejects.toMatchObject({
        code: 409,
        type: "MADE_TO_FAIL",
      });
    expect(await counter.add({})).toBe(2);
    expect(await rowsOf(id)).toBe(2);
  });

  test("is applied once for a message's id, also when the repetitions come at once or after a restart", async () => {
    const { id, counter } = fresh();
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => counter.add({ by: 5 }, { messageId: "m1" })),
    );
    expect(answers).toEqual(Array.from({ length: 10 }, () => 5));
    await node.broker.call("counter.actors.passivate", { organizationId, kind: "counter.tally", id });
    expect(await counter.add({ by: 5 }, { messageId: "m1" })).toBe(5);
    expect(await counter.add({ by: 5 }, { messageId: "m2" })).toBe(10);
    expect(await rowsOf(id)).toBe(2);
  });

  test("is refused when its parameters are not of the contract", async () => {
    const { counter } = fresh();
    await expect(counter.add({ by: "two" } as never)).rejects.toMatchObject({
      code: 422,
      data: { errors: [{ path: "by" }] },
    });
  });

  test("of one organization knows nothing of another's actor with the same id", async () => {
    const { id, counter } = fresh();
    await counter.add({ by: 7 });
    expect(await node.counter(uuidv7(), id).get({})).toMatchObject({ count: 0 });
  });

  test("whose COMMIT may have arrived is looked up again, not guessed", async () => {
    const { id, counter } = fresh();
    await counter.add({});
    const ended = { isOver: false };
    const cutting = (async () => {
      while (!ended.isOver) {
        await inspect(
          database,
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = current_database() AND application_name = 'sangam'`,
        );
        await new Promise((done) => setTimeout(done, 15));
      }
    })();
    for (let index = 0; index < 40; index++) await counter.add({});
    ended.isOver = true;
    await cutting;
    expect(await counter.get({})).toMatchObject({ count: 41 });
    expect(await rowsOf(id)).toBe(41);
    expect((await stored(id))?.epoch).toBeGreaterThan(1);
  });
});

test("2,000 actors at once do not crowd each other off the database", async () => {
  const counters = Array.from({ length: 2000 }, () => fresh().counter);
  expect(await Promise.all(counters.map((counter) => counter.add({})))).toEqual(counters.map(() => 1));
});

describe("a mailbox", () => {
  test("holds 1,000 messages and refuses the next", async () => {
    const { counter } = fresh();
    const waiting = counter.wait({ ms: 300 });
    const answers = await Promise.allSettled(Array.from({ length: 1005 }, () => counter.add({})));
    await waiting;
    const refused = answers.filter((answer) => answer.status === "rejected");
    expect(refused.length).toBe(5);
    expect(refused[0]?.reason).toMatchObject({ code: 429, type: "ACTOR_BUSY" });
    expect(await counter.get({})).toMatchObject({ count: 1000 });
  });

  test("drops a message whose time is up when its turn comes", async () => {
    const { counter } = fresh();
    const waiting = counter.wait({ ms: 300 });
    await expect(counter.add({}, { timeoutMs: 100 })).rejects.toMatchObject({ code: 503 });
    await waiting;
    expect(await counter.get({})).toMatchObject({ count: 0 });
  });
});

describe("timers and reminders", () => {
  test("a timer sends its message later, unless it is cancelled", async () => {
    const { counter } = fresh();
    await counter.timer({ afterMs: 50, by: 3 });
    await eventually(async () => (await counter.get({})).log.includes("timed"));
    await counter.timer({ afterMs: 100, by: 3 });
    await counter.cancel({});
    await new Promise((done) => setTimeout(done, 200));
    expect(await counter.get({})).toMatchObject({ count: 3 });
  });

  test("a reminder wakes an actor that has left the memory, once", async () => {
    const { id, counter } = fresh();
    await counter.remind({ afterMs: 100, by: 4 });
    await node.broker.call("counter.actors.passivate", { organizationId, kind: "counter.tally", id });
    await eventually(async () => (await stored(id))?.state?.count === 4);
    expect(await inspect(database, "SELECT 1 FROM actor_reminders WHERE actor_id = $1", [id])).toEqual([]);
  });

  test("a reminder that is cancelled, or replaced, does not fire", async () => {
    const { counter } = fresh();
    await counter.remind({ afterMs: 300, by: 1 });
    await counter.remind({ afterMs: 400, by: 10 });
    const other = fresh();
    await other.counter.remind({ afterMs: 300, by: 1 });
    await other.counter.cancel({});
    await eventually(async () => (await counter.get({})).count > 0);
    await new Promise((done) => setTimeout(done, 1200)); // another round of the poller
    expect(await counter.get({})).toMatchObject({ count: 10, log: ["reminded"] });
    expect(await other.counter.get({})).toMatchObject({ count: 0 });
  });

  test("a reminder of a suspended organization waits until it is resumed", async () => {
    const suspended = uuidv7();
    await inspect(
      database,
      `INSERT INTO control.organizations (id, name, created_at, updated_at, suspended_at)
       VALUES ($1, 'Late', now(), now(), now())`,
      [suspended],
    );
    const counter = node.counter(suspended, "waiting");
    await counter.remind({ afterMs: 1, by: 5 });
    const isPostponed = "next_try_at > now() + interval '30 s' AND tries = 0";
    await eventually(async () => {
      const text = `SELECT 1 FROM actor_reminders WHERE organization_id = $1 AND ${isPostponed}`;
      return (await inspect(database, text, [suspended])).length === 1;
    });
    expect(await counter.get({})).toMatchObject({ count: 0 });
    const resumed = "UPDATE control.organizations SET suspended_at = NULL, updated_at = now() WHERE id = $1";
    await inspect(database, resumed, [suspended]);
    await eventually(async () => {
      // the minute it was put off by is over
      const due = "UPDATE actor_reminders SET next_try_at = now() WHERE organization_id = $1";
      await inspect(database, due, [suspended]);
      return (await counter.get({})).count === 5;
    });
  });
});
