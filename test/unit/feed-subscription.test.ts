import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { OrganizationFeed } from "../../services/gateway/realtime/organization-feed.ts";
import { Outbox } from "../../services/gateway/realtime/outbox.ts";
import { Subscription } from "../../services/gateway/realtime/subscription.ts";
import { follow, hintOf, idle, MemorySource, openFeed, range, settle, turn } from "../support/memory-feed.ts";

describe("a live reader", () => {
  test("gets the events of a hint without a read", async () => {
    const source = new MemorySource();
    source.append(3);
    const feed = await openFeed(source);
    const reader = follow(feed, 3);
    const { reads } = source;
    feed.advance(hintOf(source.append(2)));
    expect(reader.seqs).toEqual([4, 5]);
    expect(source.reads).toBe(reads);
  });

  test("gets what a lost hint would have brought, before the next", async () => {
    const source = new MemorySource();
    const feed = await openFeed(source);
    const reader = follow(feed, 0);
    source.append(2);
    feed.advance(hintOf(source.append(2)));
    await settle(() => reader.seqs.length === 4);
    expect(reader.seqs).toEqual([1, 2, 3, 4]);
  });

  test("gets nothing twice when hints are doubled, late or overlapping", async () => {
    const source = new MemorySource();
    const feed = await openFeed(source);
    const reader = follow(feed, 0);
    const first = source.append(2);
    const second = source.append(2);
    feed.advance(hintOf(second));
    feed.advance(hintOf(first));
    feed.advance(hintOf(first));
    feed.advance(hintOf([...first, ...second]));
    await idle();
    expect(reader.seqs).toEqual([1, 2, 3, 4]);
  });

  test("is served by the look at the heads when every hint was lost", async () => {
    const source = new MemorySource();
    const feed = await openFeed(source);
    const reader = follow(feed, 0);
    source.append(1_200);
    feed.reach(1_200);
    await settle(() => reader.seqs.length === 1_200);
    expect(reader.seqs).toEqual(range(1, 1_200));
  });

  test("goes on after a read has failed", async () => {
    const source = new MemorySource();
    const errors: Error[] = [];
    const feed = new OrganizationFeed(source, (error) => errors.push(error));
    await feed.open();
    const reader = follow(feed, 0);
    const read = source.read.bind(source);
    source.read = () => Promise.reject(new Error("no database"));
    source.append(2);
    feed.reach(2);
    await settle(() => errors.length > 0);
    source.read = read;
    feed.advance(hintOf(source.append(1)));
    await settle(() => reader.seqs.length === 3);
    expect(reader.seqs).toEqual([1, 2, 3]);
  });
});

describe("a reader who comes back", () => {
  test("after a moment is served from memory", async () => {
    const source = new MemorySource();
    source.append(1_000);
    const feed = await openFeed(source);
    const { reads } = source;
    const reader = follow(feed, 800);
    expect(reader.seqs).toEqual(range(801, 1_000));
    expect(source.reads).toBe(reads);
  });

  test("after long is served page by page", async () => {
    const source = new MemorySource();
    source.append(2_500);
    const feed = await openFeed(source);
    const reader = follow(feed, 100);
    await reader.live;
    expect(reader.seqs).toEqual(range(101, 2_500));
  });

  test("with many who were cut off together shares their reads", async () => {
    const source = new MemorySource();
    source.append(2_500);
    const feed = await openFeed(source);
    const { reads } = source;
    const readers = Array.from({ length: 20 }, async () => {
      const { after } = await feed.locate(100);
      const reader = follow(feed, after);
      await reader.live;
      return reader.seqs;
    });
    for (const seqs of await Promise.all(readers)) expect(seqs).toEqual(range(101, 2_500));
    // where the oldest is, and the pages up to what is in memory
    expect(source.reads - reads).toBe(6);
  });

  test("while a read of another is under way that finds nothing misses nothing that has come since", async () => {
    const source = new MemorySource();
    source.append(1_005);
    const late = source.events.splice(1_000);
    const feed = await openFeed(source);
    source.events.splice(0); // retention
    source.slowness = () => 50;
    const first = follow(feed, 0);
    source.events.push(...late);
    feed.advance(hintOf(late));
    const second = follow(feed, 0);
    await settle(() => second.seqs.length === 5);
    for (const { seqs } of [first, second]) expect(seqs).toEqual(range(1_001, 1_005));
  });

  test("gets no page while it has not drained the one before", async () => {
    const source = new MemorySource();
    source.append(2_500);
    const feed = await openFeed(source);
    const sent: (() => void)[] = [];
    let messages = 0;
    const outbox = new Outbox(
      {
        send(_message, _options, onSent) {
          messages++;
          sent.push(onSent);
        },
      },
      { size: 0 },
    );
    const subscription = new Subscription({
      feed,
      outbox,
      isVisible: () => true,
      after: 0,
      onSlow: () => undefined,
    });
    const live = subscription.start();
    await idle();
    expect(messages).toBe(500);
    let isLive = false;
    void live.then(() => (isLive = true));
    for (let turns = 0; turns < 10_000 && !isLive; turns++) {
      for (const onSent of sent.splice(0)) onSent();
      await turn();
    }
    expect(messages).toBe(2_500);
  });

  test("learns what retention has dropped, and goes on from the oldest kept", async () => {
    const source = new MemorySource();
    source.append(1_000);
    source.events.splice(0, 600);
    const feed = await openFeed(source);
    expect(await feed.locate(0)).toEqual({ after: 600, oldest: 601 });
    expect(await feed.locate(599)).toEqual({ after: 600, oldest: 601 });
    expect(await feed.locate(600)).toEqual({ after: 600 });
    expect(await feed.locate(700)).toEqual({ after: 700 });
    source.events.splice(0);
    expect(await (await openFeed(source)).locate(0)).toEqual({ after: 0 });
  });

  test("with more than the feed holds is told so, and goes on from its end", async () => {
    const source = new MemorySource();
    source.append(5);
    const feed = await openFeed(source);
    source.append(5);
    expect(await feed.locate(8)).toEqual({ after: 8 });
    expect(await feed.locate(1_000)).toEqual({ after: 10, oldest: 11 });
  });
});

test("a reader that leaves gets nothing more", async () => {
  const source = new MemorySource();
  const feed = await openFeed(source);
  const reader = follow(feed, 0);
  reader.subscription.close();
  feed.advance(hintOf(source.append(1)));
  expect(reader.seqs).toEqual([]);
});

test("a reader that never drains is told to go, with about a megabyte waiting", async () => {
  const source = new MemorySource();
  const feed = await openFeed(source);
  let waiting = 0;
  let slow = 0;
  const outbox = new Outbox({ send: (message) => (waiting += message.length) }, { size: 0 });
  const subscription: Subscription = new Subscription({
    ...{ feed, outbox, isVisible: () => true, after: 0 },
    onSlow() {
      slow++;
      subscription.close();
    },
  });
  await subscription.start();
  for (let batch = 0; batch < 400; batch++) feed.advance(hintOf(source.append(50)));
  expect(slow).toBe(1);
  expect(waiting).toBeLessThan(1_100_000);
});

describe("events as large as they may be", () => {
  const large = 80_000;

  test("are read in pieces, and the feed still opens at its end", async () => {
    const source = new MemorySource();
    source.dataSize = large;
    source.append(600);
    const feed = await openFeed(source);
    expect(feed.cursor).toBe(600);
    const reader = follow(feed, 0);
    await settle(() => reader.seqs.length === 600);
    expect(reader.seqs).toEqual(range(1, 600));
    feed.advance(hintOf(source.append(5), false));
    await settle(() => reader.seqs.length === 605);
    expect(reader.seqs).toEqual(range(1, 605));
  });

  test("push each other out of memory: a megabyte of them stays", async () => {
    const source = new MemorySource();
    source.dataSize = large;
    source.append(300);
    const feed = await openFeed(source);
    const { reads } = source;
    expect(await feed.locate(290)).toEqual({ after: 290 });
    expect(source.reads).toBe(reads);
    await feed.locate(280);
    expect(source.reads).toBe(reads + 1);
  });

  test("wait for readers that have stopped, a quarter of a megabyte each and 64 megabytes together", async () => {
    const source = new MemorySource();
    source.dataSize = large;
    source.append(300);
    const feed = await openFeed(source);
    const shared = { size: 0 };
    let most = 0;
    let slow = 0;
    const stop = () =>
      new Promise<Outbox>((started) => {
        const outbox = new Outbox({ send: () => (most = Math.max(most, shared.size)) }, shared);
        const subscription: Subscription = new Subscription({
          ...{ feed, outbox, isVisible: () => true, after: 0 },
          onSlow: () => {
            slow++;
            outbox.close();
            subscription.close();
            started(outbox);
          },
        });
        void subscription.start();
        void idle().then(() => started(outbox));
      });
    const stopped = await Promise.all(Array.from({ length: 400 }, stop));
    expect(slow).toBeGreaterThan(0);
    expect(most).toBeLessThan(64 * 1_048_576 + 400 * 1_000);
    for (const outbox of stopped) outbox.close();
    expect(shared.size).toBe(0);
  });
});

test("whenever they subscribe and whichever hints are lost, readers get every event once and in order", async () => {
  const step = fc.oneof(
    {
      weight: 4,
      arbitrary: fc.record({
        append: fc.integer({ min: 1, max: 60 }),
        fitting: fc.constantFrom(Infinity, Infinity, 100, 20),
        hint: fc.constantFrom("full", "bare", "lost", "twice"),
      }),
    },
    { weight: 2, arbitrary: fc.record({ subscribe: fc.double({ min: 0, max: 1, noNaN: true }) }) },
    { weight: 2, arbitrary: fc.record({ turns: fc.integer({ min: 1, max: 6 }) }) },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 0, max: 1_500 }),
      fc.array(fc.integer({ min: 0, max: 5 }), { minLength: 1, maxLength: 7 }),
      fc.array(step, { maxLength: 40 }),
      async (history, slowness, steps) => {
        const source = new MemorySource();
        let asked = 0;
        source.slowness = () => slowness[asked++ % slowness.length] ?? 0;
        source.append(history);
        const feed = await openFeed(source);
        const readers: { since: number; seqs: number[] }[] = [];
        for (const one of steps) {
          if ("append" in one) {
            source.fitting = one.fitting;
            const events = source.append(one.append);
            if (one.hint !== "lost") feed.advance(hintOf(events, one.hint !== "bare"));
            if (one.hint === "twice") feed.advance(hintOf(events));
          } else if ("subscribe" in one) {
            const since = Math.floor(one.subscribe * source.events.length);
            void feed.locate(since).then(({ after }) => {
              readers.push({ since, seqs: follow(feed, after).seqs });
            });
          } else for (let turns = 0; turns < one.turns; turns++) await turn();
        }
        const head = source.events.length;
        feed.reach(head);
        const isDone = () =>
          readers.every(({ since, seqs }) => seqs.length >= head - since) && feed.cursor === head;
        const expected = steps.filter((one) => "subscribe" in one).length;
        await settle(() => readers.length === expected && isDone());
        for (let turns = 0; turns < 8; turns++) await turn();
        // as text: Jest compares long lists a hundred times slower
        for (const { since, seqs } of readers) expect(seqs.join()).toBe(range(since + 1, head).join());
      },
    ),
    {
      numRuns: 150,
      examples: [
        // a hint that arrives while a reader asks for the feed's end
        [
          225,
          [0, 1],
          [
            { append: 32, fitting: Infinity, hint: "full" },
            { subscribe: 0 },
            { append: 2, fitting: Infinity, hint: "bare" },
            { subscribe: 0.996138996138996 },
            { append: 1, fitting: Infinity, hint: "full" },
          ],
        ],
      ],
    },
  );
}, 60_000);
