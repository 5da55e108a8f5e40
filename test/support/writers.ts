import { setTimeout as sleep } from "node:timers/promises";
import type { Meta } from "../../mixins/contract/meta.ts";
import { errorType } from "../../mixins/contract/errors.ts";
import type { TestNode } from "./node.ts";

/** Between the leads of a client: what is measured is care, not speed. */
const paceMs = 10;

/**
 * Clients that capture, change and delete leads without pause, each request under a key that it repeats until it is
 * answered, as a careful client does. What they were told is what must be found.
 */
export class Writers {
  /** External id → first name it was last answered with; null: deleted. */
  readonly told = new Map<string, string | null>();
  readonly unexpected: unknown[] = [];
  /** Longest time a request took, with its repetitions. */
  slowestMs = 0;
  /** Answers that asked for a repetition. */
  refused = 0;
  #isOver = false;
  readonly #running: Promise<void[]>;

  constructor(node: TestNode, meta: Meta, clients: number, name = "w") {
    this.#running = Promise.all(
      Array.from({ length: clients }, (_, client) => this.#write(node, meta, `${name}${client}`)),
    );
  }

  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#running;
  }

  async #write(node: TestNode, meta: Meta, name: string): Promise<void> {
    for (let n = 0; !this.#isOver; n++) {
      await sleep(paceMs);
      const externalId = `${name}-${n}`;
      const lead = await this.#ask(externalId, (keyed) =>
        node.call("leads.create", { externalId, firstName: "new" }, { ...meta, ...keyed }),
      );
      if (!lead) return;
      this.told.set(externalId, "new");
      if (n % 3 === 0) {
        const changed = await this.#ask(`${externalId}-change`, (keyed) =>
          node.call("leads.update", { id: lead.id, firstName: "changed" }, { ...meta, ...keyed }),
        );
        if (!changed) return;
        this.told.set(externalId, "changed");
      }
      if (n % 5 === 0) {
        await this.#ask(`${externalId}-delete`, (keyed) =>
          node.call("leads.remove", { id: lead.id }, { ...meta, ...keyed }),
        );
        this.told.set(externalId, null);
      }
    }
  }

  async #ask<T>(key: string, send: (keyed: Meta) => Promise<T>): Promise<T | undefined> {
    const start = performance.now();
    for (;;) {
      try {
        return await send({ idempotency: { key, fingerprint: key } });
      } catch (error) {
        if (
          !["ORGANIZATION_MOVING", "IDEMPOTENCY_KEY_IN_USE", "WRITE_CONFLICT"].includes(
            errorType(error) ?? "",
          )
        ) {
          this.unexpected.push(error);
          return undefined;
        }
        this.refused++;
      } finally {
        this.slowestMs = Math.max(this.slowestMs, performance.now() - start);
      }
    }
  }
}
