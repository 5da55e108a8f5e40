import type { Logger } from "moleculer";
import { systemMeta } from "../../mixins/access/principal.ts";
import type { ParamsIn } from "../../mixins/contract/contract.ts";
import type { Meta } from "../../mixins/contract/meta.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import { kinds } from "../../mixins/records/kind/kinds.ts";
import {
  record,
  type ActionName,
  type Actions,
  type Events,
  type JobCtx,
  type Result,
} from "../contracts.ts";
import { cut, groups, textBytes } from "./batches.rules.ts";
import { ColumnSurvey } from "./columns.rules.ts";
import { decoded } from "./file/encoding.ts";
import { detectFormat } from "./file/format.ts";
import { readRecords, type FileRecord } from "./file/records.ts";
import { isPassing } from "../../mixins/contract/passing.ts";
import { isFenced, isTooLarge } from "./failure.rules.ts";
import {
  addOptions,
  claimImport,
  findImport,
  finishImport,
  readChunk,
  type ImportRecord,
} from "./imports.repository.ts";
import { defineFields, findFieldTypes, undefineFields } from "./fields.repository.ts";
import { enqueueRun } from "./import-file.ts";
import { importView } from "./imports.view.ts";
import { targetsOf } from "./targets.ts";
import { toImportRow, type RowPlan } from "./rows.rules.ts";
import { chunkBytes } from "./upload.ts";

/** What a run needs of its node. */
export interface RunParts {
  database: Database;
  call<N extends ActionName>(name: N, params: ParamsIn<Actions[N]>, meta: Meta): Promise<Result<N>>;
  onEvents(organizationId: string): void;
  /** Tells every node, this one too, that an organization's custom fields are others now. */
  onDefinitions(organizationId: string): void;
  /** Whether the node wants to stop: the run ends after the batch in hand. */
  isStopping(): boolean;
  logger: Logger;
}

/** Rows that are cut into batches together, and what they may hold in memory. */
const lookahead = { rows: 1000, bytes: 4 * 1024 * 1024 };
/** A batch is one message to the service of its kind; NATS carries 1 MiB at most. */
const batch = { rows: 500, bytes: 800_000 };
const rollbackBatch = 500;
const usersAtOnce = 100;
const progressEvery = { rows: 5000, ms: 2000 };

/** The job of an import: takes it from whoever had it and works until it is over, or the node stops. */
export async function runImport(
  ctx: JobCtx<"imports.run" | "imports.runOfKind">,
  parts: RunParts,
): Promise<void> {
  const { tx, principal } = ctx.locals;
  const { importId } = ctx.params;
  const { organizationId } = principal;
  const claim = await parts.database.transaction({ organizationId }, (own) => claimImport(own, importId));
  if (!claim || (await new ImportRun(claim, parts).run())) return;
  enqueueRun(tx, claim);
}

/**
 * One node's work on one import, from its claim to its end or to the loss of the claim. The checkpoint in
 * `imports` moves in the transaction that writes the rows, so a run may be cut anywhere and goes on elsewhere;
 * the epoch of the claim keeps a run that was only thought dead from writing.
 */
class ImportRun {
  readonly #claim: ImportRecord;
  readonly #kind: AnyKind;
  readonly #parts: RunParts;
  readonly #meta: Meta;
  #lastProgress = { processed: 0, at: performance.now() };
  /** How many batches in a row came before the one ahead of them was written; after two they wait for it. */
  #tooEarly = 0;

  constructor(claim: ImportRecord, parts: RunParts) {
    this.#claim = claim;
    const kind = kinds.get(claim.kind);
    if (kind === undefined) throw new Error(`there are no records of kind ${claim.kind}`);
    this.#kind = kind;
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
      if (isPassing(error)) throw error;
      this.#parts.logger.error(`import ${this.#claim.id} failed`, error);
      await this.#finish(
        "failed",
        "An internal error stopped the import. What was imported before can be rolled back.",
      );
      return true;
    }
  }

  /** What writes the records. */
  get #service(): KindService {
    return this.#kind.plural as KindService;
  }

  /** @returns false when it stopped before the end */
  async #importRows(): Promise<boolean> {
    const { mapping: targets, processed } = this.#claim;
    const columns = targets.map(([column]) => column);
    const records = await this.#records(columns);
    const plan = await this.#plan(records);
    if (plan === undefined) return false;
    const nameBytes = textBytes(columns);
    // what a row weighs as JSON: its cells and the names of its columns twice, as fields and as record
    const messageBytes = (cells: readonly string[]) => 2 * (textBytes(cells) + nameBytes) + 12 * cells.length;
    let done = processed;
    this.#lastProgress.processed = processed;
    // two batches are under way: PostgreSQL writes one while this process judges the next
    let [ahead, last] = [Promise.resolve(), Promise.resolve()];
    try {
      for await (const group of groups(records(), processed, lookahead)) {
        for (const rows of cut(group, batch, messageBytes)) {
          const prepared = rows.map((row) => toImportRow(row, plan));
          await ahead;
          if (this.#parts.isStopping()) return false;
          ahead = last;
          last = this.#writeBehind(ahead, prepared, done);
          last.catch(() => undefined); // awaited two batches later and at the end
          done += rows.length;
        }
      }
      await ahead;
      await last;
    } finally {
      await Promise.allSettled([ahead, last]);
    }
    if (this.#parts.isStopping()) return false;
    await this.#finish("completed");
    return true;
  }

  /**
   * Writes a batch while the one ahead of it may still be written. The fence keeps their order: in its transaction a batch waits for
   * the one ahead, and is refused where it comes too early (that one is written in halves, or the kind looks before its transaction at
   * what is stored). It is then written again when the other is done.
   */
  async #writeBehind(
    ahead: Promise<void>,
    rows: ReturnType<typeof toImportRow>[],
    processedBefore: number,
  ): Promise<void> {
    if (this.#tooEarly >= 2) await ahead;
    try {
      await this.#write(rows, processedBefore);
      this.#tooEarly = 0;
    } catch (error) {
      await ahead; // if it failed, so did this one
      if (!isFenced(error)) throw error;
      await this.#write(rows, processedBefore);
      this.#tooEarly++;
    }
  }

  async #write(rows: ReturnType<typeof toImportRow>[], processedBefore: number): Promise<void> {
    const { id: importId, epoch, on_duplicate: onDuplicate, is_dry_run: isDryRun } = this.#claim;
    const { matchBy, isGuardedGiven, limited } = this.#claim.options;
    const params = {
      importId,
      epoch,
      processedBefore,
      onDuplicate,
      isDryRun,
      rows,
      ...(matchBy && { matchBy }),
      ...(isGuardedGiven && { isGuardedGiven }),
      ...(limited && { limited }),
    };
    try {
      await this.#parts.call(`${this.#service}.importBatch`, params, { ...this.#meta });
    } catch (error) {
      if (!isTooLarge(error) || rows.length === 1) throw error;
      const half = Math.ceil(rows.length / 2);
      await this.#write(rows.slice(0, half), processedBefore);
      return this.#write(rows.slice(half), processedBefore + half);
    }
    await this.#announceProgress(processedBefore + rows.length);
  }

  /** Reads the file, from its beginning each time it is called. */
  async #records(columns: string[]): Promise<() => AsyncGenerator<FileRecord[]>> {
    const head = (await this.#chunk(0)) ?? Buffer.alloc(0);
    const { options } = this.#claim;
    const { encoding, delimiter } = detectFormat(head, head.length < chunkBytes, { ...options, columns });
    return () => readRecords(decoded(this.#chunks(), encoding), delimiter);
  }

  /**
   * How rows become records, decided for all of them before the first is written: a walk through the file finds the types of the
   * fields that nobody has defined, and defines them. A run that goes on finds them defined.
   * @returns undefined when the node stops before the end
   */
  async #plan(records: () => AsyncGenerator<FileRecord[]>): Promise<RowPlan | undefined> {
    const { id, mapping: targets, is_dry_run: isDryRun, options } = this.#claim;
    const { values = {}, country, currency, timeZone } = options;
    const kind = targetsOf(this.#kind);
    let types = await this.#inOrganization((tx) => findFieldTypes(tx, this.#kind));
    const survey = new ColumnSurvey(kind, targets, values, types);
    const owners = new Map<string, string>();
    if (survey.isNeeded || isDryRun) {
      let isHeading = true;
      for await (const some of records()) {
        if (this.#parts.isStopping()) return undefined;
        for (const record of isHeading ? some.slice(1) : some) survey.see(record);
        isHeading = false;
      }
      for (const [email, user] of await this.#usersByEmail(survey.owners)) owners.set(email, user);
      const fields = survey.fields((word) => owners.has(word) || isUuid(word));
      if (isDryRun) {
        types = new Map([...types, ...fields.map(({ key, type }) => [key, type] as const)]);
        const { suggestions: suggestedValues } = survey;
        await this.#inOrganization((tx) => addOptions(tx, id, { suggestedValues }));
      } else if (fields.length > 0) {
        types = await this.#inOrganization((tx) => defineFields(tx, id, this.#kind, fields));
        this.#parts.onDefinitions(this.#claim.organization_id);
      }
    }
    return { kind, targets, types, values, country, currency, timeZone, owners };
  }

  /** Active users among those who are named by their emails. */
  async #usersByEmail(words: ReadonlySet<string>): Promise<Map<string, string>> {
    const emails = [...words].filter((word) => word.includes("@") && !word.includes(","));
    const found = new Map<string, string>();
    for (let from = 0; from < emails.length; from += usersAtOnce) {
      const asked = emails.slice(from, from + usersAtOnce).join(",");
      const params = { filter: { email: { in: asked }, isActive: "true" }, limit: usersAtOnce };
      const { data } = await this.#parts.call("identity.listUsers", params, { ...this.#meta });
      for (const { id, email } of data) if (email !== undefined) found.set(email.toLowerCase(), id);
    }
    return found;
  }

  /** @returns false when it stopped before the end */
  async #rollBack(): Promise<boolean> {
    const { id: importId, epoch } = this.#claim;
    let kept = 0;
    for (;;) {
      if (this.#parts.isStopping()) return false;
      const step = await this.#parts.call(
        `${this.#service}.rollbackImport`,
        { importId, epoch, limit: rollbackBatch },
        { ...this.#meta },
      );
      kept += step.kept;
      if (step.remaining === 0) break;
    }
    // records that it made are gone by now; definitions after them
    if (await this.#inOrganization((tx) => undefineFields(tx, importId, this.#kind)))
      this.#parts.onDefinitions(this.#claim.organization_id);
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

const isUuid = (word: string): boolean => /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/.test(word);

/** Services of kinds that can be imported. */
type KindService = ActionName extends infer N ? (N extends `${infer S}.importBatch` ? S : never) : never;

type ImportEvent = {
  [T in Extract<keyof Events, `import.${string}`>]: {
    type: T;
    data: Parameters<typeof record<T>>[1]["data"];
  };
}[Extract<keyof Events, `import.${string}`>];
