import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { Mailbox } from "../../mixins/actors/mailbox.ts";
import { placeOf } from "../../mixins/actors/placement.ts";

const keys = Array.from({ length: 4000 }, (_, index) => `organization/leads.router/${index}`);
const nodesNamed = (count: number) => Array.from({ length: count }, (_, index) => `node-${index}`);
const share = (part: number) => part / keys.length;

describe("placement", () => {
  test.each([2, 3, 5, 10])("spreads actors evenly over %i nodes", (count) => {
    const nodes = nodesNamed(count);
    const placed = Map.groupBy(keys, (key) => placeOf(key, nodes));
    expect(placed.size).toBe(count);
    for (const some of placed.values()) {
      expect(share(some.length)).toBeGreaterThan(0.8 / count);
      expect(share(some.length)).toBeLessThan(1.2 / count);
    }
  });

  test.each([2, 5, 9])("a node that joins %i others gets its part, and nothing else moves", (count) => {
    const before = nodesNamed(count);
    const after = nodesNamed(count + 1);
    const moved = keys.filter((key) => placeOf(key, before) !== placeOf(key, after));
    expect(moved.every((key) => placeOf(key, after) === `node-${count}`)).toBe(true);
    expect(share(moved.length)).toBeGreaterThan(0.8 / (count + 1));
    expect(share(moved.length)).toBeLessThan(1.2 / (count + 1));
  });

  test("is the same whatever the order in which a node knows the others, and nowhere without any", () => {
    const nodes = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(nodes, fc.string(), (some, key) => {
        const place = placeOf(key, some);
        expect(some).toContain(place);
        expect(placeOf(key, [...some].reverse())).toBe(place);
        // who loses another node keeps what it had
        for (const gone of some)
          if (gone !== place)
            expect(
              placeOf(
                key,
                some.filter((node) => node !== gone),
              ),
            ).toBe(place);
      }),
    );
    expect(placeOf("key", [])).toBeUndefined();
  });
});

test("a mailbox is a queue with an end, however messages come and go", () => {
  const steps = fc.array(fc.oneof(fc.constant("shift"), fc.constant("drain"), fc.nat()), { maxLength: 2000 });
  fc.assert(
    fc.property(steps, fc.integer({ min: 1, max: 300 }), (some, capacity) => {
      const mailbox = new Mailbox<number>(capacity);
      let model: number[] = [];
      for (const step of some) {
        if (step === "shift") expect(mailbox.shift()).toBe(model.shift());
        else if (step === "drain") {
          // rare, so that the queue grows
          if (model.length < capacity - 1) continue;
          expect(mailbox.drain()).toEqual(model);
          model = [];
        } else {
          const hasRoom = model.length < capacity;
          expect(mailbox.push(step)).toBe(hasRoom);
          if (hasRoom) model.push(step);
        }
        expect(mailbox.size).toBe(model.length);
      }
      expect(mailbox.drain()).toEqual(model);
    }),
  );
});
