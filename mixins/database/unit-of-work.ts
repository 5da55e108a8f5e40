import type { EntityManager, MikroORM } from "@mikro-orm/postgresql";
import { Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from "kysely";
import type { DatabaseConnection } from "kysely";
import type { CustomTypesConfig, Pool, PoolClient, QueryResult, QueryResultRow } from "pg";
import { v7 as uuidv7 } from "uuid";
import { appError, conflict, invalidField, sqlState, violatedConstraint } from "../errors.ts";
import { enqueueStatement } from "../jobs/enqueue.ts";
import type { FairShare } from "../jobs/fair-share.ts";
import type { JobOrigin, NewJob } from "../jobs/job-spec.ts";
import { observeQuery } from "../metrics.ts";
import { isConnectionLoss, outcomeUnknown, takeConnection, unavailable } from "./pool.ts";
import { roundTrip } from "./round-trip.ts";
import { isUuid, type Statement } from "./statement.ts";

/** A physical database: its pool (pipelining connections) and the entities that live in it. */
export interface Shard {
  name: string;
  /** As owner. */
  url: string;
  pool: Pool;
  /** How its column types become values. */
  types: CustomTypesConfig;
  orm: MikroORM;
  /** In which order the organizations' jobs added here come up. */
  fairShare: FairShare;
}

/** Under whose eyes a transaction runs: one organization's (row-level security), or the platform's. */
export type Scope = { organizationId: string; readOnly?: boolean } | { platform: true; readOnly?: boolean };

/** A change of state, as it is written to `events`. */
export interface RecordedEvent {
  type: string;
  entity: { kind: string; id: string; version: number };
  actorId: string | null;
  /** Users of restricted roles who may see it; null: everybody who may read the kind. */
  audience: string[] | null;
  data: unknown;
}

/** Thrown when an idempotency key was used before; the pipeline answers with the recorded response. */
export const idempotencyUsed = "IDEMPOTENCY_KEY_USED";

const insertEvent = `INSERT INTO events
  (organization_id, id, type, entity_kind, entity_id, entity_version, actor_id, audience, data)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`;

const begin: Statement = { name: "begin", text: "BEGIN" };

/** The statement that puts a transaction under its scope; it must come first in it. */
function enter(scope: Scope): Statement {
  const mode = scope.readOnly ? "set_config('transaction_read_only', 'on', true), " : "";
  const name = `enter_${"platform" in scope ? "platform" : "organization"}${scope.readOnly ? "_to_read" : ""}`;
  if ("platform" in scope) return { name, text: `SELECT ${mode}set_config('role', 'sangam_platform', true)` };
  if (!isUuid(scope.organizationId)) throw appError(401, "UNAUTHENTICATED", "No organization.");
  return {
    name,
    text: `SELECT ${mode}set_config('role', 'sangam_app', true), set_config('app.organization_id', $1, true)`,
    values: [scope.organizationId],
  };
}

/**
 * One transaction on one connection, under row-level security. Statements are pipelined: BEGIN travels
 * with the first of them and deferred ones travel with COMMIT, so a command that only writes takes one
 * round trip. `em` is a MikroORM entity manager inside the same transaction.
 *
 * Die before COMMIT arrives: nothing happened. Die after: everything did, and the idempotency key answers a retry.
 */
export class UnitOfWork {
  readonly scope: Scope;
  /** The instant of this unit of work; every timestamp it writes. */
  readonly now = new Date();
  /** On whose behalf; jobs that are added carry it. */
  origin: JobOrigin | undefined;
  readonly #shard: Shard;
  readonly #idempotency: { key: string; fingerprint: string } | undefined;
  readonly #deferred: Statement[] = [];
  readonly #jobs: NewJob[] = [];
  readonly #afterCommit: (() => void)[] = [];
  readonly #violations = new Map<string, () => Error>();
  #client: Promise<PoolClient> | undefined;
  #em: EntityManager | undefined;
  #isOver = false;

  constructor(shard: Shard, scope: Scope, idempotency?: { key: string; fingerprint: string }) {
    this.#shard = shard;
    this.scope = scope;
    this.#idempotency = idempotency;
  }

  get organizationId(): string {
    if ("platform" in this.scope) throw new Error("A platform transaction has no organization");
    return this.scope.organizationId;
  }

  /** Sends a statement now and answers its rows. */
  async query<T extends QueryResultRow>(statement: Statement): Promise<T[]> {
    return (await this.#send<T>(statement)).rows;
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
   */
  onViolation(constraint: string, error: () => Error): void {
    this.#violations.set(constraint, error);
  }

  /** Appends an event to the organization's feed, in this transaction. */
  record({ type, entity, actorId, audience, data }: RecordedEvent): void {
    this.defer({
      name: "insert_event",
      text: insertEvent,
      values: [
        this.organizationId,
        uuidv7(),
        type,
        entity.kind,
        entity.id,
        entity.version,
        actorId,
        audience,
        JSON.stringify(data),
      ],
    });
    this.#hasEvents = true;
  }
  #hasEvents = false;
  /** Whether committing adds to the feed. */
  get hasEvents(): boolean {
    return this.#hasEvents;
  }
  /** Says that a hand-written statement appended events. */
  markEvents(): void {
    this.#hasEvents = true;
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
      const statements = [...this.#deferred];
      if (this.#jobs.length > 0)
        statements.push(
          enqueueStatement(this.#jobs, {
            own: "platform" in this.scope ? "" : this.scope.organizationId,
            origin: this.origin,
            fairShare: this.#shard.fairShare,
          }),
        );
      if (this.#idempotency) {
        const { key, fingerprint } = this.#idempotency;
        const recorded = JSON.stringify(response ?? null);
        if (this.#client) statements.push(recordKey(this.organizationId, key, fingerprint, recorded));
        else statements.unshift(claimKey(key, fingerprint, recorded));
      }
      if (!this.#client && statements.length === 0) return;
      if (this.scope.readOnly) {
        // nothing hangs on the end of a read: the answer need not wait for it
        this.rollback().catch(() => undefined);
        return;
      }
      if (this.#client) {
        const commit = [...statements, { name: "commit", text: "COMMIT" }];
        const outcome = await this.#exchange(await this.#client, commit, outcomeUnknown);
        if (outcome.at(-1)?.command !== "COMMIT")
          throw new Error("The transaction was aborted by an earlier error");
        await this.#release();
      } else {
        this.#isOver = true;
        await this.#alone(statements);
      }
      for (const hook of this.#afterCommit) hook();
    } catch (error) {
      await this.rollback();
      throw error;
    }
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
    await client.query("ROLLBACK").then(
      () => client.release(),
      (error: Error) => client.release(error),
    );
  }

  async #release(): Promise<void> {
    this.#isOver = true;
    (await this.#client)?.release();
  }

  async #send<T extends QueryResultRow = QueryResultRow>(statement: Statement): Promise<QueryResult<T>> {
    if (!this.#client && this.scope.readOnly) {
      if (this.#isOver) throw new Error("This unit of work is over");
      return (await this.#alone([statement]))[0] as QueryResult<T>;
    }
    if (!this.#client && !this.#idempotency)
      return (await this.#pipeline([begin, enter(this.scope), statement]))[2] as QueryResult<T>;
    await this.#open();
    return (await this.#pipeline([statement]))[0] as QueryResult<T>;
  }

  /** Runs statements as a transaction of their own, in one round trip that holds a connection no longer. */
  async #alone(statements: Statement[]): Promise<QueryResult[]> {
    const client = await takeConnection(this.#shard.pool);
    try {
      const onLoss = this.scope.readOnly ? unavailable : outcomeUnknown;
      return (await this.#exchange(client, [enter(this.scope), ...statements], onLoss)).slice(1);
    } finally {
      client.release();
    }
  }

  async #pipeline(statements: Statement[]): Promise<QueryResult[]> {
    return this.#exchange(await this.#connection(), statements);
  }

  /** @param onLoss what the loss of the connection means */
  #exchange(client: PoolClient, statements: Statement[], onLoss = unavailable): Promise<QueryResult[]> {
    return observeQuery(() => roundTrip(client, statements, this.#shard.types)).catch((error: unknown) => {
      throw isConnectionLoss(error) ? onLoss() : this.#translate(error);
    });
  }

  #translate(error: unknown): unknown {
    return this.#violations.get(violatedConstraint(error) ?? "")?.() ?? translate(error);
  }

  #connection(): Promise<PoolClient> {
    return (this.#client ??= takeConnection(this.#shard.pool));
  }

  /** The connection, with the transaction begun and the idempotency key claimed. */
  #open(): Promise<PoolClient> {
    if (this.#isOver) return Promise.reject(new Error("This unit of work is over"));
    this.#opened ??= (async () => {
      if (!this.#client)
        await this.#pipeline([
          begin,
          enter(this.scope),
          ...(this.#idempotency
            ? [claimKey(this.#idempotency.key, this.#idempotency.fingerprint, null)]
            : []),
        ]);
      return this.#connection();
    })();
    return this.#opened;
  }
  #opened: Promise<PoolClient> | undefined;
}

const claimKey = (key: string, fingerprint: string, response: string | null): Statement => ({
  name: "claim_idempotency_key",
  text: "SELECT claim_idempotency_key($1, $2, $3)",
  values: [key, fingerprint, response],
});
const recordKey = (
  organizationId: string,
  key: string,
  fingerprint: string,
  response: string,
): Statement => ({
  name: "record_idempotency_key",
  text: `INSERT INTO idempotency_keys (organization_id, key, fingerprint, response) VALUES ($1, $2, $3, $4)
    ON CONFLICT (organization_id, key)
    DO UPDATE SET fingerprint = excluded.fingerprint, response = excluded.response, created_at = now()`,
  values: [organizationId, key, fingerprint, response],
});

/** Turns SQLSTATEs that mean something to a client into errors of ours; the rest pass as they are. */
function translate(error: unknown): unknown {
  switch (sqlState(error)) {
    case "SG409":
      return conflict("IDEMPOTENCY_KEY_IN_USE", "A request with this Idempotency-Key is still running.");
    case "SG200":
      return conflict(idempotencyUsed, "This Idempotency-Key was used before.");
    case "22021": // invalid byte sequence, such as NUL in a text
    case "22P05": // the same inside jsonb
      return invalidField("", "invalid_characters", "Text may not contain NUL characters.");
    case "40001": // serialization failure
    case "40P01": // deadlock
      return appError(503, "WRITE_CONFLICT", "Another change got in the way; try again.");
    case "57014":
      return appError(503, "DATABASE_TIMEOUT", "The database took too long; try again.");
    default:
      return isConnectionLoss(error) ? unavailable() : error;
  }
}

/** A Kysely instance over the one connection of a unit of work; MikroORM speaks through it. */
function kyselyOver(open: () => Promise<PoolClient>, translateError: (error: unknown) => unknown): never {
  const connection: DatabaseConnection = {
    async executeQuery(compiled) {
      const client = await open();
      try {
        const result = await client.query(compiled.sql, [...compiled.parameters]);
        return {
          rows: result.rows as never[],
          numAffectedRows: result.rowCount === null ? undefined : BigInt(result.rowCount),
        };
      } catch (error) {
        throw translateError(error);
      }
    },
    streamQuery() {
      throw new Error("Pipelined connections cannot stream: page by keyset");
    },
  };
  const nothing = () => Promise.resolve();
  const kysely = new Kysely<unknown>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createDriver: () => ({
        init: nothing,
        acquireConnection: () => Promise.resolve(connection),
        releaseConnection: nothing,
        beginTransaction: nothing,
        commitTransaction: nothing,
        rollbackTransaction: nothing,
        destroy: nothing,
      }),
    },
  });
  return kysely as never; // MikroORM's Transaction type is Kysely's, which only its own builder makes
}
