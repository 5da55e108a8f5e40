import { apart } from "./one-connection.ts";
import { sqlState } from "../contract/errors.ts";
import { busy } from "./pool.ts";
import { isMomentary, isRefusedAtGate } from "./sql-errors.ts";
import { withRows, type RowsStatement, type Statement } from "./statement.ts";

/** Commands in one transaction: few enough that running them one by one, when one of them fails, stays cheap. */
const mostTogether = 32;
/** Commands of a lane that may wait; the next is refused. */
const mostWaiting = 2_048;

interface Command {
  writes: readonly RowsStatement[];
  resolve: () => void;
  reject: (error: unknown) => void;
}

interface Lane {
  organizationId: string;
  waiting: Command[];
}

/**
 * Commits commands that only insert rows. Those of one organization that do the same and come in one turn of the
 * event loop, or while such a transaction is under way, share the next one, with one statement for the rows of all:
 * most of what an insert costs is paid once a statement and once a commit.
 *
 * A command is still all or nothing, and independent of its neighbours: when the shared transaction fails,
 * PostgreSQL has undone all of it, and each command runs again by itself to its own end. An error after which
 * nobody knows whether COMMIT happened is not tried again, and is the answer to all of them.
 */
export class GroupCommit {
  readonly #run: (organizationId: string, statements: Statement[]) => Promise<unknown>;
  readonly #lanes = new Map<string, Lane>();

  /** @param run runs statements as one transaction of an organization */
  constructor(run: (organizationId: string, statements: Statement[]) => Promise<unknown>) {
    this.#run = run;
  }

  /**
   * Returns when the rows are committed; they must not need a lock that another transaction may hold.
   * @throws 503 DATABASE_BUSY when too many wait
   */
  commit(organizationId: string, writes: readonly RowsStatement[]): Promise<void> {
    const key = [organizationId, ...writes.map(({ name }) => name)].join(" ");
    let lane = this.#lanes.get(key);
    if (!lane) {
      const opened = (lane = { organizationId, waiting: [] });
      this.#lanes.set(key, opened);
      // whoever came first waits for it no more than the others
      setImmediate(() => void apart(() => this.#work(key, opened)));
    }
    if (lane.waiting.length >= mostWaiting) return Promise.reject(busy());
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    lane.waiting.push({ writes, resolve, reject });
    return promise;
  }

  /** How long the longest line is: 0 nobody waits, 1 the next is refused. */
  get pressure(): number {
    let longest = 0;
    for (const { waiting } of this.#lanes.values()) longest = Math.max(longest, waiting.length);
    return longest / mostWaiting;
  }

  async #work(key: string, lane: Lane): Promise<void> {
    while (lane.waiting.length > 0)
      await this.#runTogether(lane.organizationId, lane.waiting.splice(0, mostTogether));
    this.#lanes.delete(key);
  }

  async #runTogether(organizationId: string, commands: Command[]): Promise<void> {
    try {
      await this.#run(organizationId, merge(commands));
      for (const { resolve } of commands) resolve();
    } catch (error) {
      if (commands.length === 1 || !isUndone(error) || isRefusedAtGate(error))
        for (const { reject } of commands) reject(error);
      else for (const command of commands) await this.#runTogether(organizationId, [command]);
    }
  }
}

/** One statement for the rows of all commands: those of a lane have the same statements in the same order. */
const merge = (commands: readonly Command[]): Statement[] =>
  (commands[0] as Command).writes.map((statement, index) =>
    withRows({ ...statement, rows: rowsOf(commands, index) }),
  );

function rowsOf(commands: readonly Command[], index: number): string[] {
  const rows: string[] = [];
  for (const { writes } of commands) rows.push(...(writes[index] as RowsStatement).rows);
  return rows;
}

/**
 * Whether the error is one of a statement, so that the transaction was surely undone: bad values, a broken constraint,
 * a conflict, a missing right, or one raised by us. See "PostgreSQL Error Codes" in its documentation.
 */
export const isUndone = (error: unknown): boolean =>
  /^(21|22|23|40|42|SG)/.test(sqlState(error) ?? "") || isMomentary(error);
