import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { FairTurns } from "../../mixins/concurrency/fair-turns.ts";

const turn = () => new Promise((done) => setImmediate(done));
const tooMany = () => new Error("too many");
const options = {
  ...{ places: 4, share: 3, mostWaiting: 100, mostWaitingOfOne: 10, patienceMs: 10_000 },
  tooMany,
};

/** Enters for a holder, and tells in `log` when it is in. */
function enter(turns: FairTurns, holder: string | undefined, log: (string | undefined)[]): void {
  const waiting = turns.enter(holder);
  if (waiting)
    waiting.then(() => log.push(holder)).catch(() => undefined); // whoever still waits at the end
  else log.push(holder);
}

test("one holder gets its share and no more, and another finds a place at once", async () => {
  const turns = new FairTurns(options);
  const log: (string | undefined)[] = [];
  for (let index = 0; index < 10; index++) enter(turns, "a", log);
  await turn();
  expect(log).toEqual(["a", "a", "a"]);
  enter(turns, "b", log);
  expect(log).toEqual(["a", "a", "a", "b"]);
});

test("of those who wait the one with the fewest places is next, equals take turns", async () => {
  const turns = new FairTurns(options);
  const log: (string | undefined)[] = [];
  for (const holder of ["a", "a", "a", "b", "a", "b", "b", "c", "c", "d"]) enter(turns, holder, log);
  log.length = 0;
  for (const leaving of ["a", "a", "a"]) {
    turns.leave(leaving);
    await turn();
  }
  expect(log).toEqual(["c", "d", "a"]);
});

test("the system has no share, and waits like a holder", async () => {
  const turns = new FairTurns(options);
  const log: (string | undefined)[] = [];
  for (const holder of [undefined, undefined, undefined, undefined, undefined]) enter(turns, holder, log);
  expect(log).toHaveLength(4);
  turns.leave(undefined);
  await turn();
  expect(log).toHaveLength(5);
});

test("who waits behind too many is refused, one holder's line before that of all", async () => {
  const turns = new FairTurns(options);
  const log: (string | undefined)[] = [];
  for (let index = 0; index < 13; index++) enter(turns, "a", log);
  expect(() => turns.enter("a")).toThrow("too many");
  enter(turns, "b", log);
  expect(turns.waiting(Infinity)).toBe(10);
  expect(turns.waiting(4)).toBe(4);
  for (let other = 0; other < 90; other++) enter(turns, `other-${other}`, log);
  expect(() => turns.enter("c")).toThrow("too many");
  await turn();
});

test("who has waited too long is refused, and takes nobody's turn", async () => {
  const turns = new FairTurns({ ...options, places: 1, share: 1, patienceMs: 20 });
  expect(turns.enter("a")).toBeUndefined();
  await expect(turns.enter("b")).rejects.toThrow("too many");
  expect(turns.waiting(Infinity)).toBe(0);
  turns.leave("a");
  expect(turns.enter("c")).toBeUndefined();
});

test("whoever comes and goes, no holder has more than its share, no place stays empty that somebody may have", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.oneof(fc.constantFrom("a", "b", "c"), fc.constant("leave")), { maxLength: 60 }),
      async (steps) => {
        const turns = new FairTurns({ ...options, mostWaitingOfOne: 100 });
        const inside: string[] = [];
        const wanting: Record<string, number> = { a: 0, b: 0, c: 0 };
        for (const step of steps) {
          if (step !== "leave") {
            wanting[step] = (wanting[step] ?? 0) + 1;
            const come = () => {
              wanting[step] = (wanting[step] ?? 0) - 1;
              inside.push(step);
            };
            const waiting = turns.enter(step);
            if (waiting) void waiting.then(come);
            else come();
          } else if (inside.length > 0) turns.leave(inside.shift());
          await Promise.resolve();
          await turn();
          const held = (holder: string) => inside.filter((one) => one === holder).length;
          for (const holder of ["a", "b", "c"]) {
            expect(held(holder)).toBeLessThanOrEqual(3);
            if ((wanting[holder] ?? 0) > 0) expect(inside.length === 4 || held(holder) === 3).toBe(true);
          }
          expect(inside.length).toBeLessThanOrEqual(4);
        }
        while (inside.length > 0) {
          turns.leave(inside.shift());
          await turn();
        }
        expect(wanting).toEqual({ a: 0, b: 0, c: 0 });
      },
    ),
    { numRuns: 100 },
  );
});
