import { afterEach, beforeEach, expect, jest, test } from "@jest/globals";
import type { Database } from "../../mixins/database/database.ts";
import type { Organizations } from "../../mixins/organizations/organizations.ts";
import { RecordQuota } from "../../mixins/records/writing/quota.ts";

const limit = 100;
const organizations = {
  of: () => Promise.resolve({ plan: "starter", limits: { records: limit }, isSuspended: false }),
} as unknown as Organizations;

/** What counts that were begun wait for. */
let counts: { answer: (records: number) => void; fail: (error: Error) => void }[];
let quota: RecordQuota;

beforeEach(() => {
  jest.useFakeTimers();
  counts = [];
  const query = () =>
    new Promise((resolve, reject) => {
      counts.push({ answer: (records) => resolve([{ records }]), fail: reject });
    });
  quota = new RecordQuota({ reader: () => ({ query }) } as unknown as Database, organizations);
});
afterEach(() => void jest.useRealTimers());

const settle = () => jest.advanceTimersByTimeAsync(0);
const take = async (more: number) => (await quota.of("organization", { plural: "contacts" })).take(more);
/** Counts for the first time. */
async function known(records: number): Promise<void> {
  const first = take(0);
  await settle();
  counts.shift()?.answer(records);
  await first;
}

test("a capture far from the limit does not wait while an old count is taken again", async () => {
  await known(10);
  await take(1);
  jest.advanceTimersByTime(61_000);
  await Promise.all([take(1), take(1)]);
  expect(counts).toHaveLength(1);
  counts.shift()?.answer(limit);
  await settle();
  await expect(take(1)).rejects.toMatchObject({ type: "QUOTA_EXCEEDED" });
});

test.each([
  { when: "near the limit", leads: limit * 0.9, ageMs: 1_100 },
  { when: "after two minutes", leads: 10, ageMs: 121_000 },
])("$when it waits for the new count", async ({ leads, ageMs }) => {
  await known(leads);
  jest.advanceTimersByTime(ageMs);
  const refused = expect(take(1)).rejects.toMatchObject({ type: "QUOTA_EXCEEDED" });
  await settle();
  counts.shift()?.answer(limit);
  await refused;
});

test("a count that fails refuses nobody who did not wait for it, and is tried again", async () => {
  await known(10);
  jest.advanceTimersByTime(61_000);
  await take(1);
  counts.shift()?.fail(new Error("away"));
  await settle();
  await take(1);
  expect(counts).toHaveLength(1);
});

test("each kind has the limit for itself", async () => {
  const takeOf = async (plural: string) => (await quota.of("organization", { plural })).take(1);
  const full = expect(takeOf("leads")).rejects.toMatchObject({ data: { resource: "leads", limit } });
  await settle();
  counts.shift()?.answer(limit);
  await full;
  const free = takeOf("contacts");
  await settle();
  counts.shift()?.answer(limit - 1);
  await free;
});
