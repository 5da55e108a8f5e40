import type { Logger } from "moleculer";
import { systemMeta } from "../../mixins/access/actor.ts";
import type { ParamsIn } from "../../mixins/contract/contract.ts";
import type { Meta } from "../../mixins/contract/meta.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { errorType } from "../../mixins/contract/errors.ts";
import {
  enqueue,
  record,
  type ActionName,
  type Actions,
  type Events,
  type JobCtx,
  type Result,
} from "../contracts.ts";
import { cut, groups, textBytes, type NumberedRow } from "./batches.rules.ts";
import { csvRecords, unreadableFile } from "./csv-records.ts";
import { detectFormat } from "./csv.rules.ts";
import { isFenced, isPassing, isTooLarge } from "./failure.rules.ts";
import { learn, type FieldTypes } from "./field-types.rules.ts";
import {
  claimImport,
  defineFields,
  findFieldTypes,
  findImport,
  finishImport,
  readChunk,
  type ImportRecord,
} from "./imports.repository.ts";
import { importView } from "./imports.view.ts";
import { customCells, toImportRow } from "./mapping.rules.ts";
import { chunkBytes } from "./upload.ts";

/** What a run needs of its node. */
export interface RunParts {
  database: Database;
  call<N extends ActionName>(name: N, params: ParamsIn<Actions[N]>, meta: Meta): Promise<Result<N>>;
  onEvents(organizationId: string): void;
  /** Whether the node wants to stop: the run ends after the batch in hand. */
  isStopping(): boolean;
  logger: Logger;
}

/** Rows looked at before the types of their custom fields are decided, and what they may hold in memory. */
const lookahead = { rows: 1000, bytes: 4 * 1024 * 1024 };
/** A batch is one message to the leads service; NATS carries 1 MiB at most. */
const batch = { rows: 500, bytes: 800_000 };
const rollbackBatch = 500;
const progressEvery = { rows: 5000, ms: 2000 };

/** The job of an import: takes it from whoever had it and works until it is over, or the node stops. */
export async function runImport(ctx: JobCtx<"imports.run">, parts: RunParts): Promise<void> {
  const { tx, actor } = ctx.locals;
  const { importId } = ctx.params;
  const { organizationId } = actor;
  const claim = await parts.database.transaction({ organizationId }, (own) => claimImport(own, importId));
  if (!claim || (await new ImportRun(claim, parts).run())) return;
  enqueue(tx, "imports.run", { importId }, { key: importId });
}

/**
 * One node's work on one import, from its claim to its end or to the loss of the claim. The checkpoint in
 * `imports` moves in the transaction that writes the rows, so a run may be cut anywhere and goes on elsewhere;
 * the epoch of the claim keeps a run that was only thought dead from writing.
 */
class ImportRun {
  readonly #claim: ImportRecord;
  readonly #parts: RunParts;
  readonly #meta: Meta;
  #lastProgress = { processed: 0, at: performance.now() };

  constructor(claim: ImportRecord, parts: RunParts) {
    this.#claim = claim;
    this.#parts = parts;
    this.#meta = {
      ...systemMeta(claim.organization_id),
      ...(claim.created_by ? { userId: claim.created_by } : {}),
    };
  }

  /**
   * Works until the import is over or taken over, or the node stops.
   * @returns whether nobody needs to go on
   * @throws what will pass: to be tried again
   */
  async run(): Promise<boolean> {
    try {
      return await (this.#claim.status === "rolling_back" ? this.#rollBack() : this.#importRows());
    } catch (error) {
      if (isFenced(error)) return true;
      if (errorType(error) === unreadableFile) await this.#finish("failed", (error as Error).message);
      else if (isPassing(error)) throw error;
      else {
        this.#parts.logger.error(`import ${this.#claim.id} failed`, error);
        await this.#finish(
          "failed",
          "An internal error stopped the import. What was imported before can be rolled back.",
        );
      }
      return true;
    }
  }

  /** @returns false when it stopped before the end */
  async #importRows(): Promise<boolean> {
    const { mapping: targets, processed, is_dry_run: isDryRun } = this.#claim;
    const columns = targets.map(([column]) => column);
    const head = await this.#chunk(0);
    const { delimiter } = detectFormat(head ?? Buffer.alloc(0), (head?.length ?? 0) < chunkBytes, columns);
    const nameBytes = textBytes(columns);
    // what a row weighs as JSON: its cells and the names of its columns twice, as fields and as record
    const messageBytes = (cells: readonly string[]) => 2 * (textBytes(cells) + nameBytes) + 12 * cells.length;
    const types = await this.#inOrganization(findFieldTypes);
    let done = processed;
    this.#lastProgress.processed = processed;
    // one batch is written while the next is read and prepared
    let writing = Promise.resolve();
    try {
      for await (const group of groups(csvRecords(this.#chunks(), delimiter), processed, lookahead)) {
        await this.#learnTypes(group, types, isDryRun);
        for (const rows of cut(group, batch, messageBytes)) {
          const prepared = rows.map(({ rowNumber, cells }) => toImportRow(cells, rowNumber, targets, types));
          await writing;
          if (this.#parts.isStopping()) return false;
          writing = this.#write(prepared, done);
          writing.catch(() => undefined); // awaited before the next batch and at the end
          done += rows.length;
        }
      }
      await writing;
    } finally {
      await writing.catch(() => undefined);
    }
    if (this.#parts.isStopping()) return false;
    await this.#finish("completed");
    return true;
  }

  async #write(rows: ReturnType<typeof toImportRow>[], processedBefore: number): Promise<void> {
    const { id: importId, epoch, on_duplicate: onDuplicate, is_dry_run: isDryRun } = this.#claim;
    const params = { importId, epoch, processedBefore, onDuplicate, isDryRun, rows };
    try {
      await this.#parts.call("leads.importBatch", params, { ...this.#meta });
    } catch (error) {
      if (!isTooLarge(error) || rows.length === 1) throw error;
      const half = Math.ceil(rows.length / 2);
      await this.#write(rows.slice(0, half), processedBefore);
      return this.#write(rows.slice(half), processedBefore + half);
    }
    await this.#announceProgress(processedBefore + rows.length);
  }

  /** Brings `types` up to these rows, and defines what is new before any row that uses it is written. */
  async #learnTypes(rows: NumberedRow[], types: FieldTypes, isDryRun: boolean): Promise<void> {
    const { mapping } = this.#claim;
    const cells = function* () {
      for (const row of rows) yield* customCells(row.cells, mapping);
    };
    const changed = learn(types, cells());
    if (changed.size === 0) return;
    let defined = changed;
    if (!isDryRun) {
      const labels = new Map(mapping.map(([column, target]) => [target, column]));
      const fields = [...changed].map(([key, type]) => ({
        key,
        type,
        label: labels.get(`customFields.${key}`) ?? key,
      }));
      defined = await this.#inOrganization((tx) => defineFields(tx, fields));
    }
    for (const [key, type] of defined) types.set(key, type);
  }

  /** @returns false when it stopped before the end */
  async #rollBack(): Promise<boolean> {
    const { id: importId, epoch } = this.#claim;
    let kept = 0;
    for (;;) {
      if (this.#parts.isStopping()) return false;
      const step = await this.#parts.call(
        "leads.rollbackImport",
        { importId, epoch, limit: rollbackBatch },
        { ...this.#meta },
      );
      kept += step.kept;
      if (step.remaining === 0) break;
    }
    await this.#finish("rolled_back", null, kept);
    return true;
  }

  async #finish(
    status: "completed" | "failed" | "rolled_back",
    failure: string | null = null,
    kept = 0,
  ): Promise<void> {
    await this.#announce(
      (tx) => finishImport(tx, this.#claim, { status, failure }),
      (view) =>
        status === "rolled_back"
          ? { type: "import.rolled_back", data: { import: view, kept } }
          : { type: `import.${status}`, data: { import: view } },
    );
  }

  async #announceProgress(done: number): Promise<void> {
    const { processed, at } = this.#lastProgress;
    if (done - processed < progressEvery.rows && performance.now() - at < progressEvery.ms) return;
    this.#lastProgress = { processed: done, at: performance.now() };
    await this.#announce(
      (tx) => findImport(tx, this.#claim.id),
      (view) => ({ type: "import.progressed", data: { import: view } }),
    );
  }

  /** Records an event of the import as `change` leaves it, in one transaction; nothing when it gives none. */
  async #announce(
    change: (tx: UnitOfWork) => Promise<ImportRecord | null>,
    event: (view: ReturnType<typeof importView>) => ImportEvent,
  ): Promise<void> {
    const isAnnounced = await this.#inOrganization(async (tx) => {
      const row = await change(tx);
      if (!row) return false;
      record(tx, {
        ...event(importView(row)),
        entity: { kind: "import", id: row.id, version: row.version },
        actorId: row.created_by,
        audience: row.created_by === null ? [] : [row.created_by],
      });
      return true;
    });
    if (isAnnounced) this.#parts.onEvents(this.#claim.organization_id);
  }

  #inOrganization<T>(work: (tx: UnitOfWork) => Promise<T>): Promise<T> {
    return this.#parts.database.transaction({ organizationId: this.#claim.organization_id }, work);
  }

  #chunk(position: number): Promise<Buffer | undefined> {
    return this.#inOrganization((tx) => readChunk(tx, this.#claim.id, position));
  }

  async *#chunks(): AsyncGenerator<Buffer> {
    for (let position = 0; ; position++) {
      const bytes = await this.#chunk(position);
      if (bytes === undefined) return;
      yield bytes;
    }
  }
}

type ImportEvent = {
  [T in Extract<keyof Events, `import.${string}`>]: {
    type: T;
    data: Parameters<typeof record<T>>[1]["data"];
  };
}[Extract<keyof Events, `import.${string}`>];
