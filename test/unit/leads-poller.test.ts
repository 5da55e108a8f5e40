import { expect, jest, test } from "@jest/globals";
import { Poller } from "../../mixins/concurrency/poller.ts";
import { eventually } from "../support/eventually.ts";

const never = (error: Error) => {
  throw error;
};

test("goes on at once while there is more work, then waits", async () => {
  let left = 3;
  const run = jest.fn(() => Promise.resolve(--left > 0));
  const poller = new Poller({ name: "test", everyMs: 60_000, run, onError: never });
  poller.start();
  await eventually(() => run.mock.calls.length === 3);
  await poller.stop();
  expect(run).toHaveBeenCalledTimes(3);
});

test("rounds never overlap, and a kick during a round asks for one more", async () => {
  let running = 0;
  let most = 0;
  const ends: (() => void)[] = [];
  const run = jest.fn(async () => {
    most = Math.max(most, ++running);
    await new Promise<void>((done) => ends.push(done));
    running--;
    return false;
  });
  const poller = new Poller({ name: "test", everyMs: 60_000, run, onError: never });
  poller.start();
  await eventually(() => ends.length === 1);
  poller.kick();
  poller.kick();
  ends[0]?.();
  await eventually(() => ends.length === 2);
  ends[1]?.();
  await poller.stop();
  expect(run).toHaveBeenCalledTimes(2);
  expect(most).toBe(1);
});

test("reports a failed round and tries again", async () => {
  const errors: string[] = [];
  let rounds = 0;
  const poller = new Poller({
    name: "sweeping",
    everyMs: 5,
    run: () => {
      if (++rounds === 1) throw new Error("broken");
      return Promise.resolve(false);
    },
    onError: (error) => errors.push(error.message),
  });
  poller.start();
  await eventually(() => rounds >= 3);
  await poller.stop();
  expect(errors).toEqual(["sweeping: broken"]);
});

test("stop waits for the running round, and nothing runs after it", async () => {
  let end: () => void = () => undefined;
  let rounds = 0;
  const poller = new Poller({
    name: "test",
    everyMs: 1,
    run: async () => {
      rounds++;
      await new Promise<void>((done) => (end = done));
      return true;
    },
    onError: never,
  });
  poller.start();
  await eventually(() => rounds === 1);
  let isStopped = false;
  const stopping = poller.stop().then(() => (isStopped = true));
  await new Promise((done) => setImmediate(done));
  expect(isStopped).toBe(false);
  end();
  await stopping;
  poller.kick();
  await new Promise((done) => setTimeout(done, 20));
  expect(rounds).toBe(1);
});
