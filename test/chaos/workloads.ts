import { setTimeout } from "node:timers/promises";
import { eventually } from "../support/eventually.ts";
import type { GoodClient, Operation } from "./good-client.ts";
import type { Journals } from "./journals.ts";

/** What goes on while something breaks, and what of it was acknowledged. */
export interface Load {
  /** Done, in the order they were acknowledged. */
  readonly operations: Operation[];
  /** Leads that were acknowledged, by their mark, with how often each was changed since. */
  readonly leads: Map<string, { id: string; changes: number }>;
  /** Marks of leads that a pool was to assign. */
  readonly assigned: Set<string>;
  /** Rows of the files whose import was acknowledged. */
  readonly rows: string[];
  /** Resolves when an operation of each kind that began after this call is acknowledged. */
  goesOn(): Promise<void>;
  stop(): Promise<void>;
}

/** Where leads come from that the pool takes. */
export const poolSource = "chaos-pool";
const pauseMs = 40;

/** @param options.step part of every mark; @param options.rows of the file that is imported meanwhile */
export async function startLoad(
  client: GoodClient,
  journals: Journals,
  options: { step: string; rows: number },
): Promise<Load> {
  const { step } = options;
  const operations: Operation[] = [];
  const leads: Load["leads"] = new Map();
  const assigned = new Set<string>();
  let isOver = false;
  let count = 0;

  const perform = async (workload: string, method: string, path: string, body: unknown) => {
    const operation = await client.do(workload, method, path, body);
    operations.push(operation);
    return operation.body as { id: string };
  };
  const capture = async () => {
    const mark = `${step}-capture-${count++}`;
    const lead = { id: (await perform("captures", "POST", "/leads", { lastName: mark })).id, changes: 0 };
    leads.set(mark, lead);
    for (; lead.changes < 2 && !isOver; lead.changes++)
      await perform("changes", "PATCH", `/leads/${lead.id}`, { title: `change ${lead.changes}` });
  };
  const captureForPool = async () => {
    const mark = `${step}-turn-${count++}`;
    const { id } = await perform("assignments", "POST", "/leads", { lastName: mark, source: poolSource });
    leads.set(mark, { id, changes: 0 });
    assigned.add(mark);
  };
  const append = async () => {
    operations.push(await journals.append());
  };
  const lane = async (operate: () => Promise<void>) => {
    // a failure is kept by the client and fails the round; the others go on
    while (!isOver) {
      await operate().catch(() => undefined);
      await setTimeout(pauseMs);
    }
  };
  const rows = Array.from({ length: options.rows }, (_, row) => `${step}-row-${row}`);
  if (rows.length > 0) await importRows(client, step, rows);
  const lanes = [
    lane(capture),
    lane(capture),
    lane(captureForPool),
    lane(captureForPool),
    lane(append),
    lane(append),
  ];
  return {
    operations,
    leads,
    assigned,
    rows,
    async goesOn() {
      const since = performance.now();
      await eventually(
        () =>
          ["captures", "changes", "assignments", "turns"].every((kind) =>
            operations.some(({ workload, begunAt }) => workload === kind && begunAt > since),
          ),
        150_000,
      );
    },
    async stop() {
      isOver = true;
      await Promise.all(lanes);
    },
  };
}

async function importRows(client: GoodClient, step: string, rows: readonly string[]): Promise<void> {
  const form = new FormData();
  const file = `lastName,title\n${rows.map((row) => `${row},imported\n`).join("")}`;
  form.set("onDuplicate", "create");
  form.set("file", new Blob([file], { type: "text/csv" }), `${step}.csv`);
  await client.do("imports", "POST", "/leads/import", form);
}

/** A pool of five colleagues who take leads in turn. */
export async function makePool(client: GoodClient): Promise<string> {
  const members = [];
  for (let index = 0; index < 5; index++) {
    const user = { name: `Rep ${index}`, email: `rep-${index}@chaos.example`, role: "sales_rep" };
    const { body } = await client.do("users", "POST", "/users", {
      ...user,
      password: "correct-horse-battery",
    });
    members.push({ userId: (body as { id: string }).id, weight: 1 });
  }
  const { body } = await client.do("pools", "POST", "/assignment-pools", {
    name: "In turn",
    strategy: "round_robin",
    members,
    criteria: [{ field: "source", op: "eq", value: poolSource }],
  });
  const { id } = body as { id: string };
  // every core has heard of the pool when each of the last ten leads had a taker
  let taken = 0;
  await eventually(async () => {
    const lead = await client.do("pools", "POST", "/leads", { lastName: "warm-up", source: poolSource });
    taken = (lead.body as { assignedTo: string | null }).assignedTo === null ? 0 : taken + 1;
    return taken === 10;
  }, 60_000);
  return id;
}
