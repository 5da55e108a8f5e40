import { expect, test } from "@jest/globals";
import { RateLimiterMemory } from "rate-limiter-flexible";
import { LeasedLimit } from "../../services/gateway/leased-limit.ts";

test.each([
  [1, 1],
  [5, 5],
  [100, 95],
  [1_000, 950],
])("two processes with a limit of %i let through at most that, and at least %i", async (points, least) => {
  const shared = new RateLimiterMemory({ points, duration: 60 });
  const processes = [new LeasedLimit(shared), new LeasedLimit(shared)];
  const verdicts = await Promise.all(
    Array.from({ length: 2 * points + 10 }, (_, index) =>
      (processes[index % 2] as LeasedLimit).take("caller"),
    ),
  );
  const allowed = verdicts.filter(({ isAllowed }) => isAllowed).length;
  expect(allowed).toBeLessThanOrEqual(points);
  expect(allowed).toBeGreaterThanOrEqual(least);
});

test("what is left counts down by one, and begins anew with the next window", async () => {
  const limit = new LeasedLimit(new RateLimiterMemory({ points: 40, duration: 1 }));
  const remaining = [];
  for (let turn = 0; turn < 41; turn++) remaining.push((await limit.take("caller")).remaining);
  expect(remaining).toEqual([...Array.from({ length: 40 }, (_, index) => 39 - index), 0]);
  const { isAllowed, resetMs } = await limit.take("caller");
  expect(isAllowed).toBe(false);
  await new Promise((over) => setTimeout(over, resetMs + 5));
  expect(await limit.take("caller")).toMatchObject({ isAllowed: true, remaining: 39 });
});

test("callers do not share a limit", async () => {
  const limit = new LeasedLimit(new RateLimiterMemory({ points: 1, duration: 60 }));
  for (const caller of ["a", "b", "c"]) expect((await limit.take(caller)).isAllowed).toBe(true);
});
