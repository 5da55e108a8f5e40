import type { Database } from "../database/database.ts";
import { Poller } from "../concurrency/poller.ts";
import { postponeReminder, takeDueReminders, type DueReminder } from "./actors.repository.ts";
import type { ActorClient } from "./client.ts";

const lookEveryMs = 1_000;
const most = 100;
/** How long a reminder's delivery may take before another poller tries it again. */
const deliveryMs = 20_000;
/** How soon after an organization's pause its reminders are delivered, at the latest. */
const pauseMs = 60_000;

/**
 * Delivers the due reminders of these kinds. Any number of nodes may; a reminder is tried again until a turn
 * has consumed it, in the transaction of its effect, so the effect happens once.
 * @param isPaused whether an organization is suspended: its reminders wait
 */
export function reminderPollers(
  database: Database,
  client: ActorClient,
  kinds: readonly string[],
  parts: { isPaused: (organizationId: string) => Promise<boolean>; onError: (error: Error) => void },
): Poller[] {
  const { isPaused, onError } = parts;
  const deliver = async ({ message, params, reminderId, tries, ...address }: DueReminder) => {
    try {
      const { organizationId } = address;
      if (await isPaused(organizationId)) {
        await database.transaction({ organizationId }, (tx) => postponeReminder(tx, reminderId, pauseMs));
        return;
      }
      await client.sendAsSystem(address, message, params, {
        // a cancelled or replaced reminder has another id, so its message is never taken for this one's
        messageId: `reminder ${reminderId}`,
        timeoutMs: deliveryMs,
        reminderId,
      });
    } catch (error) {
      onError(
        new Error(`reminder of ${address.kind} ${address.id}, try ${tries}: ${(error as Error).message}`),
      );
    }
  };
  return database.shards.map(
    (shard) =>
      new Poller({
        name: `reminders on ${shard.name}`,
        everyMs: lookEveryMs,
        run: async () => {
          const due = await database.transaction({ platform: shard }, (tx) =>
            takeDueReminders(tx, kinds, most, deliveryMs),
          );
          await Promise.all(due.map(deliver));
          return due.length === most;
        },
        onError,
      }),
  );
}
