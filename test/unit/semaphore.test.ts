import { expect, test } from "@jest/globals";
import { Semaphore } from "../../mixins/concurrency/semaphore.ts";

/** Work that ends when told to. */
function task() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let hasStarted = false;
  return {
    work: () => ((hasStarted = true), promise),
    end: resolve,
    fail: reject,
    hasStarted: () => hasStarted,
  };
}
const turn = () => new Promise((done) => setImmediate(done));

test("two run, two wait in order, the fifth is refused with 503", async () => {
  const semaphore = new Semaphore({ atOnce: 2, mostWaiting: 2 });
  const tasks = [task(), task(), task(), task()];
  const answers = tasks.map(({ work }) => semaphore.run(work));
  await expect(semaphore.run(task().work)).rejects.toMatchObject({ code: 503, type: "SERVER_BUSY" });
  expect(tasks.map((one) => one.hasStarted())).toEqual([true, true, false, false]);
  tasks[1]?.end("second");
  await turn();
  expect(tasks.map((one) => one.hasStarted())).toEqual([true, true, true, false]);
  for (const [index, one] of tasks.entries()) one.end(String(index));
  expect(await Promise.all(answers)).toEqual(["0", "second", "2", "3"]);
});

test("work that fails gives its place back", async () => {
  const semaphore = new Semaphore({ atOnce: 1, mostWaiting: 0 });
  await expect(semaphore.run(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(await semaphore.run(() => Promise.resolve("yes"))).toBe("yes");
});
