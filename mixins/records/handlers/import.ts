import { errorType, type FieldError } from "../../contract/errors.ts";
import { erasedAmong, markHash } from "../../privacy/erased-persons.ts";
import { changesBetween } from "../writing/changes.ts";
import { valueTaken } from "../custom/custom.errors.ts";
import type { CallFields } from "../custom/of-call.ts";
import type { Claims } from "../custom/values-apart.ts";
import { about, type Counter, type ImportReader, type RecordContext } from "../writing/desk.ts";
import { Associates, makeAssociates, sidesOf } from "../importing/associations.ts";
import {
  fenceImport,
  isNextOfImport,
  moveCheckpoint,
  recordChanges,
  recordRejections,
  takeTurns,
  type ImportCounts,
  type Rejection,
} from "../importing/import.repository.ts";
import {
  importFenced,
  importOvertaken,
  importTooLarge,
  sensitiveNotImported,
} from "../importing/import.errors.ts";
import { ImportPlan, type ImportedRecord } from "../importing/import-plan.ts";
import {
  fitCustomFields,
  inputsOf,
  judge,
  leaveOut,
  leaveOutReferences,
  markedFields,
  sentenceOf,
  type ImportRow,
  type Judged,
} from "../importing/judged-rows.ts";
import type { LimitedImporter } from "../importing/import-form.ts";
import { defaultKeysOf, soughtKeysOf, textIn } from "../importing/keys.ts";
import { matchesOf } from "../importing/matches.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { columnOf } from "../finding/listing.ts";
import { referencesOf } from "../writing/references.ts";
import { externalIdTaken } from "../writing/store.ts";
import { fieldsOf } from "./crud.ts";

/** What importBatch is given. */
export interface BatchParams {
  importId: string;
  epoch: number;
  processedBefore: number;
  onDuplicate: "skip" | "update" | "create";
  matchBy?: string[] | undefined;
  isDryRun: boolean;
  isGuardedGiven: boolean;
  limited?: LimitedImporter | undefined;
  rows: ImportRow[];
}

const asItIs: ImportReader<AnyRow> = (input) => ({ input });
const erasedPerson = "erased_person: this person was erased on request and is not imported again";

/** Takes files of records, and writes their rows. */
export function importHandlers<R extends AnyRow, P>(counter: Counter<R, P>) {
  const { kind, desk, store, rules } = counter;
  const sides = sidesOf(kind, desk.kinds);
  const findMatches = matchesOf<R>(kind);
  const turns = [kind, ...sides.map(({ target }) => target)];
  const marksOf = markedFields(kind);
  const { owner } = kind;

  /**
   * Writes the next rows of an import with the import's new counts, in one transaction: either all of it happened or
   * nothing did, so a run that died is resumed from `processed` and no row is written twice. The import's row is locked
   * first; a run that was overtaken (another epoch, another checkpoint) writes nothing.
   */
  async function importBatch(ctx: RecordContext<BatchParams>): Promise<ImportCounts> {
    const { principal, tx } = ctx.locals;
    const { importId, onDuplicate, isDryRun, isGuardedGiven, limited, rows } = ctx.params;
    const matching = { onDuplicate, matchBy: ctx.params.matchBy ?? defaultKeysOf(kind) };
    const cipher = await desk.keys.of(tx.organizationId);
    const read = (await rules.importReader?.(ctx)) ?? asItIs;
    const judged = rows.map((row) => judge(row, { kind, read, sides, isGuardedGiven }));
    for (const row of judged)
      row.hashes = row.input ? marksOf(row.input).map((mark) => markHash(cipher, mark)) : [];
    const hashes = judged.flatMap((row) => row.hashes);
    const fields = await fieldsOf(counter, ctx);
    // what was merged is part of the record that it is known by now
    const merged = await store.mergedExternalIds(desk.database.reader(tx.organizationId), inputsOf(judged));
    for (const row of judged) {
      const now = row.input && merged.get(row.input.externalId);
      if (now === null) Object.assign(row, { input: undefined, reason: externalIdTaken(kind).message });
      else if (now !== undefined) row.input = { ...row.input, externalId: now };
    }
    const inputs = inputsOf(judged);
    for (const input of inputs) {
      const key = fields.sensitiveNamedBy(input);
      if (key !== undefined) throw sensitiveNotImported(key);
    }
    await fields.prepare(ctx, inputs);
    const rooms = new Map(
      await Promise.all(
        turns.map(async (one) => [one.name, await desk.quota.of(tx.organizationId, one)] as const),
      ),
    );
    for (const row of judged) {
      fitCustomFields(row, fields);
      if (limited) limit(row, limited, fields);
    }
    if (owner !== undefined) {
      const owners = inputs.flatMap((input) => textIn(input, owner) ?? []);
      const active = await desk.users.among(ctx, new Set(owners));
      for (const row of judged) {
        const user = row.input && textIn(row.input, owner);
        if (user != null && !active.has(user))
          leaveOut(row, owner, `${user} is no active user of the organization`);
      }
    }

    /** What the rows make of these records. */
    const planFor = (
      matches: readonly R[],
      erased: ReadonlySet<string>,
      prepared: P,
      { associates, claims }: { associates?: Associates; claims?: Claims } = {},
    ): { plan: ImportPlan<R>; rejections: Rejection[]; remarks: Rejection[] } => {
      const decide = rules.decide?.bind(rules);
      const plan = new ImportPlan<R>(
        {
          ...{ ...matching, kind, organizationId: tx.organizationId, now: tx.now.toISOString() },
          marks: "importId" in kind.fields ? { import_id: importId } : {},
          decide: decide && ((before, change) => decide(before, change, prepared, principal)),
        },
        matches,
      );
      const rejections: Rejection[] = [];
      // rows that are said something of, and are not refused
      const remarks: Rejection[] = [];
      for (const row of judged) {
        const { rowNumber, record, notes } = row;
        if (row.hashes.some((hash) => erased.has(hash.toString("hex")))) {
          // the row of the file is not kept either
          rejections.push({ rowNumber, record: {}, reason: erasedPerson });
          continue;
        }
        const { refused, skipped } = takeRow(plan, row, (input, of) => {
          const held = claims?.take(of.id, row.apart);
          if (held) throw valueTaken(kind, held.key);
          const mine =
            owner === undefined
              ? null
              : (input[owner] ?? (of as AnyRow)[columnOf(owner)] ?? of.own?.[columnOf(owner)]);
          return associates?.resolve({ rowNumber, record }, row.named, input, mine) ?? input;
        });
        if (refused !== undefined)
          rejections.push({ rowNumber, record, reason: [refused, ...notes].join("; ") });
        else if (skipped !== undefined) remarks.push({ rowNumber, record, reason: skipped });
        else if (notes.length > 0)
          remarks.push({ rowNumber, record, reason: `imported without ${notes.join("; ")}` });
      }
      return { plan, rejections, remarks };
    };
    const keys = soughtKeysOf(kind, inputs, matching);
    // a row touches few records: what cannot be halved any more is taken as it is
    const isWhole = rows.length === 1;
    const look = async (known: P): Promise<R[]> => {
      if (isDryRun) return [];
      const reader = desk.database.reader(tx.organizationId);
      const [isNext, seen, erasedNow] = await Promise.all([
        isNextOfImport(reader, ctx.params),
        findMatches(reader, keys, { isWhole }),
        erasedAmong(reader, hashes),
      ]);
      // what the batch ahead makes is not there yet
      if (!isNext) throw importFenced();
      if (seen.isCut) throw importTooLarge();
      return planFor(seen.rows, erasedNow, known)
        .plan.created()
        .map(({ row }) => row);
    };
    const prepared = (await rules.prepareImport?.(ctx, look, inputsOf(judged))) as P;

    const valid = judged.filter(({ input }) => input !== undefined);
    const [, isCurrent, erased, matches, claims] = await Promise.all([
      isDryRun || takeTurns(tx, turns),
      fenceImport(tx, ctx.params),
      erasedAmong(tx, hashes),
      findMatches(tx, keys, { lock: onDuplicate === "update" && !isDryRun ? "change" : undefined, isWhole }),
      fields.claims(
        tx,
        valid.map(({ apart }) => apart),
      ),
    ]);
    if (!isCurrent) throw importFenced();
    if (matches.isCut) throw importTooLarge();
    const refers = await referencesOf(tx, counter, principal, inputsOf(judged), fields);
    for (const row of valid) leaveOutReferences(row, kind, refers);
    const associates = await Associates.of(
      tx,
      sides,
      valid.map(({ named }) => named),
    );
    const { plan, rejections, remarks } = planFor(matches.rows, erased, prepared, { associates, claims });

    // one whose identity another has is refused by itself
    const clashing = await store.partsTaken(
      tx,
      [...plan.changed(), ...plan.created()].map(({ row }) => row),
      principal,
    );
    for (const one of [...plan.changed(), ...plan.created()]) {
      const taken = clashing.get(one.row.id);
      if (taken) rejections.push(...plan.withdraw(one).map((row) => ({ ...row, reason: taken.message })));
    }
    const created: ImportedRecord<R>[] = [];
    for (const one of plan.created()) {
      if (clashing.has(one.row.id)) continue;
      const reason = refusalBy(() => {
        one.row = rules.complete?.(one.row, prepared) ?? one.row;
      });
      if (reason === undefined) created.push(one);
      else rejections.push(...plan.withdraw(one).map((row) => ({ ...row, reason })));
    }
    const changed = plan.changed().filter(({ row }) => !clashing.has(row.id));
    const wanted = associates.wanted([...created, ...changed].map(({ row }) => row));
    if (!isDryRun) {
      rooms.get(kind.name)?.take(created.length);
      for (const { target, records } of wanted) rooms.get(target.name)?.take(records.length);
      rules.requireNew?.(
        prepared,
        created.map(({ row }) => row),
      );
      if (!(await makeAssociates(tx, wanted, principal.userId))) throw importOvertaken(kind);
      const inserted = await store.insertFree(
        tx,
        created.map(({ row }) => row),
      );
      store.update(
        tx,
        changed.map(({ row }) => row),
        () => importOvertaken(kind),
      );
      const taken = created.filter(({ row }) => !inserted.has(row.id));
      // what was made for it would be nobody's
      if (taken.length > 0 && wanted.length > 0) throw importOvertaken(kind);
      // somebody took the external id between our look and our insert
      for (const one of taken)
        rejections.push(
          ...plan.withdraw(one).map((row) => ({ ...row, reason: externalIdTaken(kind).message })),
        );
      const written = [...created.filter(({ row }) => inserted.has(row.id)), ...changed];
      fields.store(
        tx,
        written.map(({ row }) => ({ id: row.id, apart: fields.marksOf({ ...row }) })),
        () => importOvertaken(kind),
      );
      for (const one of written) {
        const change = tell(tx, kind, one, principal.userId, fields);
        await rules.also?.(tx, one.before, change, prepared);
      }
      recordChanges(tx, importId, kind, written);
      for (const { target, records } of wanted) recordChanges(tx, importId, target, records);
    }
    const associated = Object.fromEntries(wanted.map(({ target, records }) => [target.name, records.length]));
    const counts: ImportCounts = {
      ...{ ...plan.counts, failed: rejections.length },
      ...(wanted.length > 0 && { associated }),
    };
    const refusedRows = new Set(rejections.map(({ rowNumber }) => rowNumber));
    recordRejections(tx, importId, [
      ...rejections,
      ...remarks.filter(({ rowNumber }) => !refusedRows.has(rowNumber)),
    ]);
    moveCheckpoint(tx, importId, rows.length, counts);
    return counts;
  }

  /** What a row says of who does not see all: references, which nobody has checked with their eyes, are not theirs to give. */
  const limit = (row: Judged, { owner: mine }: LimitedImporter, fields: CallFields) => {
    for (const { key } of row.input ? fields.referencesOf([row.input]) : [])
      leaveOut(row, `customFields.${key}`, "only who sees all records may refer to them by import");
    if (owner !== undefined) row.own = { ...row.own, [columnOf(owner)]: mine };
  };

  return {
    import: (ctx: RecordContext) => desk.takeFile(ctx, kind),
    importBatch,
  };
}

/** Adds a row to the plan; answers why it was refused or skipped, if it was. */
function takeRow<R extends AnyRow>(
  plan: ImportPlan<R>,
  { id, rowNumber, record, input, reason, own }: Judged,
  finish: Parameters<ImportPlan<R>["take"]>[2],
): { refused?: string; skipped?: string | undefined } {
  if (input === undefined) return { refused: reason };
  let skipped: string | undefined;
  const refused = refusalBy(() => {
    skipped = plan.take({ rowNumber, record }, { input, id, ...(own && { own }) }, finish);
  });
  return refused === undefined ? { skipped } : { refused };
}

/** Why something of a row is refused, as the report says it; undefined where it is not. */
function refusalBy(work: () => void): string | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (errorType(error) === undefined) throw error;
    const { data, message } = error as Error & { data?: { errors?: FieldError[] } };
    return data?.errors ? sentenceOf(data.errors) : message;
  }
}

/** Records what happened to a record; answers it as a change. */
function tell<R extends AnyRow>(
  tx: RecordContext["locals"]["tx"],
  kind: AnyKind,
  { row, before }: ImportedRecord<R>,
  actorId: string | null,
  fields: CallFields,
) {
  const changes = before === null ? {} : changesBetween(kind, before, row);
  about(tx, {
    ...{ kind, row, actorId, fields },
    ...(before === null ? { verb: "created" } : { verb: "updated", changes }),
  });
  return { row, changes };
}
