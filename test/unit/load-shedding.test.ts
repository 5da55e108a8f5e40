import { describe, expect, test } from "@jest/globals";
import { LoadShedding, nextLimit, priorities } from "../../services/gateway/load-shedding.ts";
import { routes } from "../../services/gateway/routes.ts";

describe("the limit of requests in flight", () => {
  test.each([
    ["grows while nothing is late", 100, { lateMs: 10, pressure: 0 }, 151],
    ["grows to the most at most", 195, { lateMs: 10, pressure: 0 }, 200],
    ["stays between the bounds", 100, { lateMs: 75, pressure: 0.3 }, 100],
    ["stays at the edge of the bounds", 100, { lateMs: 100, pressure: 0.5 }, 100],
    ["shrinks while the event loop is late", 100, { lateMs: 101, pressure: 0 }, 60],
    ["shrinks while calls queue for the database", 100, { lateMs: 10, pressure: 0.51 }, 60],
    ["never shrinks to nothing", 33, { lateMs: 1000, pressure: 1 }, 32],
    ["stays when the event loop was not measured", 100, { lateMs: NaN, pressure: 0 }, 100],
  ])("%s", (_what, limit, signals, next) => {
    expect(nextLimit(limit, 200, signals)).toBeCloseTo(next, 5);
  });

  test("below the least, the setting stands", () => {
    expect(nextLimit(5, 5, { lateMs: 1000, pressure: 1 })).toBe(5);
  });
});

test("long and optional work is refused first, vital work never", () => {
  const shedding = new LoadShedding({ mostInFlight: 2, pressure: () => 0 });
  try {
    expect(shedding.enter("low")).toBe(true);
    expect(shedding.enter("low")).toBe(false);
    expect(shedding.enter("normal")).toBe(true);
    expect(shedding.enter("normal")).toBe(false);
    expect(shedding.enter("vital")).toBe(true);
    for (let left = 0; left < 3; left++) shedding.leave();
    expect(shedding.enter("low")).toBe(true);
  } finally {
    shedding.close();
  }
});

test("who has left takes no place again", () => {
  const shedding = new LoadShedding({ mostInFlight: 1, pressure: () => 0 });
  try {
    const place = shedding.place("normal");
    place?.leave();
    expect(place?.enter()).toBe(true);
    place?.leave();
    place?.end();
    expect(place?.enter()).toBe(false);
    expect(shedding.enter("normal")).toBe(true);
  } finally {
    shedding.close();
  }
});

test.each([
  ["GET", "/health", "vital"],
  ["GET", "/health/ready", "vital"],
  ["GET", "/api/health", "vital"],
  ["POST", "/api/v1/auth/logout", "vital"],
  ["POST", "/api/v1/auth/login", "normal"],
  ["POST", "/api/v1/leads", "normal"],
  ["GET", "/api/v1/leads?limit=5", "normal"],
  ["GET", "/api/v1/leads?limit=5&count=true", "low"],
  ["GET", "/api/v1/leads/export?format=csv", "low"],
  ["GET", "/api/latest/leads/export", "low"],
  ["POST", "/api/v1/leads/import", "low"],
  ["GET", "/healthy", "normal"],
])("%s %s is %s", (method, url, priority) => {
  expect(priorities(routes)({ method, url })).toBe(priority);
});
