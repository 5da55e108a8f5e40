import type { EntityManager } from "@mikro-orm/postgresql";
import type { PoolClient, QueryResult, QueryResultRow } from "pg";
import { errorType, sqlState } from "../contract/errors.ts";
import { enqueueStatement } from "../jobs/enqueue.ts";
import type { JobOrigin, NewJob } from "../jobs/job-spec.ts";
import { newId } from "./new-id.ts";
import { apart, requireNoneHeld } from "./one-connection.ts";
import { isConnectionLoss, outcomeUnknown, takeConnection, tooSlow, unavailable } from "./pool.ts";
import { claimKeys, lockKey, recordKey, type Idempotency } from "./idempotency.ts";
import { kyselyOver } from "./kysely.ts";
import type { BoundedResult } from "./round-trip.ts";
import { begin, enter, holderOf, type Scope } from "./scope.ts";
import { exchange, runAlone, undo, type Shard } from "./shard.ts";
import { isMomentary, isRefusedAtGate, translate } from "./sql-errors.ts";
import { Violations, type Explain } from "./violations.ts";
import { withRows, type BoundedRows, type RowsStatement, type Statement } from "./statement.ts";

/** A change of state, as it is written to `events`. */
export interface RecordedEvent {
  type: string;
  entity: { kind: string; id: string; version: number };
  actorId: string | null;
  /** Users of restricted roles who may see it; null: everybody who may read the kind. */
  audience: string[] | null;
  data: unknown;
}

/** What must hold for a transaction to count: statements that raise an error, and so undo it, when it does not. */
export interface Guard {
  /** Goes before everything else in a transaction that reads before it writes. */
  enter: Statement;
  /** Goes with COMMIT; in a transaction that only writes it stands first, and must do what `enter` does too. */
  seal(response: unknown): Statement;
}

/** How often a transaction that travels as one message is run when others get in its way. */
const mostTries = 3;

const insertEvents = {
  name: "insert_events",
  text: `INSERT INTO events
    (organization_id, id, type, entity_kind, entity_id, entity_version, actor_id, audience, data)
  SELECT current_setting('app.organization_id')::uuid, e.*
  FROM json_to_recordset($1) AS e (id uuid, type text, entity_kind text, entity_id uuid, entity_version integer,
    actor_id uuid, audience uuid[], data jsonb)`,
};

/**
 * One transaction on one connection, under row-level security. Statements are pipelined: BEGIN travels
 * with the first of them and deferred ones travel with COMMIT, so a command that only writes takes one
 * round trip. `em` is a MikroORM entity manager inside the same transaction.
 *
 * Die before COMMIT arrives: nothing happened. Die after: everything did, and the idempotency key answers a retry.
 *
 * Where the organization has moved to another database, or may not write for the moment, its gate refuses the
 * transaction before anything is done; it then begins anew where the organization lives.
 */
export class UnitOfWork {
  readonly scope: Scope;
  /** The instant of this unit of work; every timestamp it writes. */
  readonly now = new Date();
  /** Of which zone times are that a list is asked for without one. */
  timeZone = "UTC";
  /** On whose behalf; jobs that are added carry it. */
  origin: JobOrigin | undefined;
  #shard: Shard;
  readonly #idempotency: Idempotency | undefined;
  readonly #guard: Guard | undefined;
  readonly #deferred: (Statement | RowsStatement)[] = [];
  readonly #events: string[] = [];
  readonly #jobs: NewJob[] = [];
  readonly #afterCommit: (() => void)[] = [];
  readonly #violations = new Violations<UnitOfWork>();
  #client: Promise<PoolClient> | undefined;
  #em: EntityManager | undefined;
  #isOver = false;

  constructor(shard: Shard, scope: Scope, idempotency?: Idempotency, guard?: Guard) {
    this.#shard = shard;
    this.scope = scope;
    this.#idempotency = idempotency;
    this.#guard = guard;
  }

  get organizationId(): string {
    if ("platform" in this.scope) throw new Error("A platform transaction has no organization");
    return this.scope.organizationId;
  }

  /** Sends a statement now and answers its rows. */
  async query<T extends QueryResultRow>(statement: Statement): Promise<T[]> {
    return (await this.#send<T>(statement)).rows;
  }

  /** As `query`, for a statement with `mostBytes`: so many rows as fit. */
  async queryWithin<T extends QueryResultRow>(
    statement: Statement & { mostBytes: number },
  ): Promise<BoundedRows<T>> {
    const { rows, sizes = [], isCut = false } = await this.#send<T>(statement);
    return { rows, sizes, isCut };
  }

  /** As `query`, answering the number of rows the statement changed. */
  async execute(statement: Statement): Promise<number> {
    return (await this.#send(statement)).rowCount ?? 0;
  }

  /** Adds a write that nothing after it needs to read; it is sent together with COMMIT. */
  defer(statement: Statement): void {
    this.#deferred.push(statement);
  }

  /**
   * Says which error the violation of a constraint means, for every statement from here to COMMIT:
   * a deferred one fails after the handler has answered, where nobody is left to catch it.
   * @param explain looks for a better error, such as one that names who has what is taken, once everything is undone
   */
  onViolation(constraint: string, error: () => Error, explain?: Explain<UnitOfWork>): void {
    this.#violations.mean(constraint, error, explain);
  }

  /**
   * As `defer`, for rows whose insert waits for no other transaction: a command that writes nothing else may
   * then share its transaction with others, see GroupCommit.
   */
  deferRows(statement: RowsStatement): void {
    this.#deferred.push(statement);
  }

  /** Appends an event to the organization's feed, in this transaction. */
  record({ type, entity, actorId, audience, data }: RecordedEvent): void {
    const event = {
      id: newId(),
      type,
      entity_kind: entity.kind,
      entity_id: entity.id,
      entity_version: entity.version,
      actor_id: actorId,
      audience,
      data,
    };
    this.#events.push(JSON.stringify(event));
  }
  /** Whether committing adds to the feed. */
  get hasEvents(): boolean {
    return this.#events.length > 0;
  }

  /** Whether it holds a connection: while it does, nothing may be waited for that needs another, see `requireNoneHeld`. */
  get isOpen(): boolean {
    return this.#client !== undefined && !this.#isOver;
  }

  /** Adds a job in this transaction: it runs if, and only if, the transaction commits. */
  enqueue(job: NewJob): void {
    this.#jobs.push(job);
  }

  /** Runs `hook` once the transaction is durable; never when it is rolled back. Lost if the process dies: hints only. */
  afterCommit(hook: () => void): void {
    this.#afterCommit.push(hook);
  }

  /** Entities of this database, inside this transaction. Flushed by `commit`. */
  get em(): EntityManager {
    if (this.#em === undefined) {
      this.#em = this.#shard.orm.em.fork();
      this.#em.setTransactionContext(
        kyselyOver(
          () => this.#open(),
          (error) => this.#translate(error),
        ),
      );
    }
    return this.#em;
  }

  /** Writes what is pending and commits. `response` is recorded under the idempotency key, if the call has one. */
  async commit(response?: unknown): Promise<void> {
    try {
      if (this.#em) await this.#em.flush();
      const writes = [...this.#deferred];
      if (this.hasEvents) writes.push({ ...insertEvents, rows: this.#events });
      if (this.#jobs.length > 0)
        writes.push(
          enqueueStatement(this.#jobs, {
            own: "platform" in this.scope ? "" : this.scope.organizationId,
            origin: this.origin,
            fairShare: this.#shard.fairShare,
          }),
        );
      if (!this.#client && writes.length === 0 && !this.#idempotency && !this.#guard) return;
      if (this.scope.readOnly) {
        if (writes.length > 0) throw new Error("What only reads has written: say so in its contract");
        // nothing hangs on the end of a read: the answer need not wait for it
        this.rollback().catch(() => undefined);
        return;
      }
      if (this.#client) await this.#commitOpen(writes, response);
      else {
        this.#isOver = true;
        await (writes.every(isRows) && !this.#guard
          ? this.#commitShared(writes, response)
          : this.#commitAlone(writes, response));
      }
      for (const hook of this.#afterCommit) hook();
    } catch (error) {
      await this.rollback();
      const { explain } = this.#violations;
      if (!explain || "platform" in this.scope) throw error;
      throw (await explain(new UnitOfWork(this.#shard, { ...this.scope, readOnly: true }))) ?? error;
    }
  }

  async #commitOpen(writes: Write[], response: unknown): Promise<void> {
    const statements = writes.map(toStatement);
    if (this.#idempotency) {
      statements.push(recordKey(this.organizationId, this.#idempotency, JSON.stringify(response ?? null)));
    }
    if (this.#guard) statements.push(this.#guard.seal(response));
    const outcome = await this.#pipeline([...statements, { name: "commit", text: "COMMIT" }], outcomeUnknown);
    if (outcome.at(-1)?.command !== "COMMIT")
      throw new Error("The transaction was aborted by an earlier error");
    await this.#release();
  }

  async #commitAlone(writes: Write[], response: unknown): Promise<void> {
    const claim = this.#claim(response).map(withRows);
    const seal = this.#guard ? [this.#guard.seal(response)] : [];
    await this.#alone([...seal, ...claim, ...writes.map(toStatement)]);
  }

  #commitShared(writes: RowsStatement[], response: unknown): Promise<void> {
    requireNoneHeld(this);
    const rows = [...this.#claim(response), ...writes];
    return this.#atHome((shard) => shard.commits.commit(this.organizationId, rows)).catch(
      (error: unknown) => {
        throw this.#explain(error, outcomeUnknown);
      },
    );
  }

  /** Takes the idempotency key, if the call has one, and records its response at once. */
  #claim(response: unknown): RowsStatement[] {
    if (!this.#idempotency) return [];
    return [{ ...claimKeys, rows: [JSON.stringify({ ...this.#idempotency, response: response ?? null })] }];
  }

  /** Undoes everything. Safe to call twice. */
  async rollback(): Promise<void> {
    if (this.#isOver || !this.#client) return;
    this.#isOver = true;
    let client: PoolClient;
    try {
      client = await this.#client;
    } catch {
      return; // never connected: nothing to undo
    }
    await undo(client);
  }

  async #release(): Promise<void> {
    this.#isOver = true;
    (await this.#client)?.release();
  }

  async #send<T extends QueryResultRow = QueryResultRow>(
    statement: Statement,
  ): Promise<QueryResult<T> & Pick<BoundedResult, "sizes" | "isCut">> {
    if (!this.#client && this.scope.readOnly) {
      if (this.#isOver) throw new Error("This unit of work is over");
      return (await this.#alone([statement]))[0] as QueryResult<T>;
    }
    if (this.#isOver) throw new Error("This unit of work is over");
    if (this.#idempotency) await this.#open();
    const sent = this.#pipeline([statement]);
    this.#beginning ??= sent;
    return (await sent).at(-1) as QueryResult<T>;
  }

  #alone(statements: Statement[]): Promise<QueryResult[]> {
    const onLoss = this.scope.readOnly ? unavailable : outcomeUnknown;
    return this.#atHome((shard) => runAlone(shard, this.scope, statements)).catch((error: unknown) => {
      throw this.#explain(error, onLoss);
    });
  }

  /** Runs what is a transaction by itself where the organization lives; again, when others got in its way. */
  async #atHome<T>(work: (shard: Shard) => Promise<T>): Promise<T> {
    const since = performance.now();
    for (let tries = 1; ;) {
      try {
        return await work(this.#shard);
      } catch (error) {
        if (isRefusedAtGate(error)) this.#shard = await this.#shard.findHome(this.organizationId, since);
        else if (!isMomentary(error) || tries++ >= mostTries) throw error;
      }
    }
  }

  /** Sends statements, behind those that begin the transaction if these are its first; answers the results of all. */
  async #pipeline(statements: Statement[], onLoss = unavailable): Promise<QueryResult[]> {
    const entering = this.#client ? [] : this.#entering();
    const connection = this.#connection();
    const client = await connection;
    try {
      return await exchange(this.#shard, client, [...entering, ...statements]);
    } catch (error) {
      // nothing was done before these statements, so the transaction may begin anew
      const isFirst = entering.length > 0;
      // of those sent together, each fails as the first did
      if (!isFirst && wasSkipped(error)) await this.#beginning;
      if (isRefusedAtGate(error)) this.#client = this.#beginAtHome(client);
      else if (isFirst && isMomentary(error)) this.#client = this.#beginAgain(client);
      // sent behind the statement that was refused, this one was not looked at
      else if (this.#client === connection || !wasSkipped(error)) throw this.#explain(error, onLoss);
      return this.#pipeline(statements, onLoss);
    }
  }

  /** A connection to where the organization lives, with the transaction begun there. */
  async #beginAtHome(client: PoolClient): Promise<PoolClient> {
    for (const since = performance.now(); ;) {
      await undo(client);
      this.#shard = await apart(() => this.#shard.findHome(this.organizationId, since));
      client = await takeConnection(this.#shard.pool, holderOf(this.scope));
      try {
        await exchange(this.#shard, client, this.#entering());
        return client;
      } catch (error) {
        if (isRefusedAtGate(error)) continue;
        await undo(client);
        throw this.#explain(error, unavailable);
      }
    }
  }

  /** A connection to the same database, with the transaction begun anew. */
  async #beginAgain(client: PoolClient): Promise<PoolClient> {
    await undo(client);
    const again = await takeConnection(this.#shard.pool, holderOf(this.scope));
    try {
      await exchange(this.#shard, again, this.#entering());
      return again;
    } catch (error) {
      await undo(again);
      throw this.#explain(error, unavailable);
    }
  }

  /** @param onLoss what the loss of the connection means */
  #explain(error: unknown, onLoss: (cause: unknown) => Error): unknown {
    return isConnectionLoss(error) ? onLoss(error) : this.#translate(error);
  }

  #translate(error: unknown): unknown {
    const { timeoutMs } = this.scope;
    if (timeoutMs !== undefined && sqlState(error) === "57014") return tooSlow(timeoutMs);
    // that a read may not write is our own doing, and a bug
    if (this.scope.readOnly && sqlState(error) === "25006") return error;
    const known = this.#violations.errorOf(error) ?? translate(error);
    if (errorType(known) === "STORAGE_FULL") this.#shard.isFull = true;
    return known;
  }

  #entering(): Statement[] {
    return [
      begin,
      enter(this.scope),
      ...(this.#guard ? [this.#guard.enter] : []),
      ...(this.#idempotency ? [lockKey(this.#idempotency.key)] : []),
    ];
  }

  #connection(): Promise<PoolClient> {
    if (!this.#client) requireNoneHeld(this);
    return (this.#client ??= takeConnection(this.#shard.pool, holderOf(this.scope)));
  }

  /** The connection, with the transaction begun and the idempotency key claimed. */
  async #open(): Promise<PoolClient> {
    if (this.#isOver) throw new Error("This unit of work is over");
    await (this.#beginning ??= this.#pipeline([]));
    return this.#connection();
  }
  #beginning: Promise<unknown> | undefined;
}

type Write = Statement | RowsStatement;
const isRows = (write: Write): write is RowsStatement => "rows" in write;
const toStatement = (write: Write): Statement => (isRows(write) ? withRows(write) : write);

/** Whether a statement failed only for one before it in the transaction, which may have been to prepare it. */
const wasSkipped = (error: unknown): boolean => ["25P02", "26000"].includes(sqlState(error) ?? "");
