import { expect, test } from "@jest/globals";
import fc from "fast-check";
import { LocalPresence, type Status } from "../../services/gateway/realtime/presence-store.ts";
import { OrganizationPresence, type PresenceChange } from "../../services/gateway/realtime/presence.ts";

const users = ["asha", "ravi", "meera"];
/** What happens: a socket of a user says something or ends, or the store fails from here on or not. */
const step = fc.oneof(
  fc.record({
    socket: fc.integer({ min: 0, max: 5 }),
    says: fc.constantFrom<(Status | "gone")[]>("online", "away", "gone"),
  }),
  fc.record({ isDown: fc.boolean() }),
  fc.constant("exchange" as const),
);

test("whatever was said and however the store failed, all that was told adds up to who is here", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
      const shared = new LocalPresence();
      let isDown = false;
      const store = {
        exchange: async (...said: Parameters<LocalPresence["exchange"]>) => {
          await Promise.resolve();
          if (isDown) throw new Error("down");
          return shared.exchange(...said);
        },
      };
      const told = new Map<string, string>();
      const tell = (changes: PresenceChange[]) => {
        for (const { userId, status } of changes) {
          expect(told.get(userId) ?? "offline").not.toBe(status);
          if (status === "offline") told.delete(userId);
          else told.set(userId, status);
        }
      };
      const presence = new OrganizationPresence("organization", store, tell, 0);
      const sockets = Array.from({ length: 6 }, (_, index) => ({ userId: users[index % 3] as string }));
      const said = new Map<{ userId: string }, Status>();
      const truth = () => {
        const roster = new Map<string, Status>();
        for (const [{ userId }, status] of said)
          if (roster.get(userId) !== "online") roster.set(userId, status);
        return roster;
      };
      for (const event of steps) {
        if (event === "exchange") {
          await presence.exchange();
          expect(told).toEqual(truth());
        } else if ("isDown" in event) isDown = event.isDown;
        else {
          const socket = sockets[event.socket] as { userId: string };
          if (event.says === "gone") {
            presence.remove(socket, socket.userId);
            said.delete(socket);
          } else {
            presence.set(socket, socket.userId, event.says);
            said.set(socket, event.says);
          }
          void presence.exchange();
          await Promise.resolve();
        }
      }
      isDown = false;
      await presence.exchange();
      await presence.exchange();
      expect(told).toEqual(truth());
      expect(presence.roster).toEqual(truth());
    }),
    { numRuns: 500 },
  );
});
