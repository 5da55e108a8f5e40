import type { UnitOfWork } from "../../database/unit-of-work.ts";
import { changeRecord, changesBetween, nextVersion } from "./changes.ts";
import type { CallFields } from "../custom/of-call.ts";
import { about } from "./desk.ts";
import type { AnyKind, AnyRow } from "../kind/kind.ts";
import { storeOf } from "./store.ts";

interface Entry {
  kind: AnyKind;
  before: AnyRow;
  row: AnyRow;
  fields?: CallFields | undefined;
}

/**
 * Changes of locked records that come one by one and are written together. Deferred writes are not visible before COMMIT, so two separate
 * changes of one row would each start from the old row, and the second would overwrite the first. Each record changes once, and is told of once.
 */
export class PendingChanges {
  readonly #tx: UnitOfWork;
  readonly #entries = new Map<string, Entry>();

  constructor(tx: UnitOfWork) {
    this.#tx = tx;
  }

  /** A row as the changes until now have made it. */
  rowOf(kind: AnyKind, row: AnyRow): AnyRow {
    return this.#entries.get(nameOf(kind, row))?.row ?? row;
  }

  /** @param fields of the call, where custom values change: unique ones have their marks kept apart */
  change(kind: AnyKind, row: AnyRow, input: Readonly<Record<string, unknown>>, fields?: CallFields): void {
    const entry = this.#entryOf(kind, row);
    entry.row = changeRecord(kind, entry.row, input, this.#tx.now.toISOString())?.row ?? entry.row;
    entry.fields ??= fields;
  }

  #entryOf(kind: AnyKind, row: AnyRow): Entry {
    const name = nameOf(kind, row);
    const known = this.#entries.get(name);
    if (known) return known;
    const entry = { kind, before: row, row };
    this.#entries.set(name, entry);
    return entry;
  }

  /** Writes them, at commit. */
  store(actorId: string | null): void {
    const now = this.#tx.now.toISOString();
    for (const { kind, before, row, fields } of this.#entries.values()) {
      const changes = changesBetween(kind, before, row);
      if (Object.keys(changes).length === 0) continue;
      const written = { ...nextVersion(row, now), version: before.version + 1 };
      storeOf(kind).update(this.#tx, [written]);
      fields?.store(this.#tx, [{ id: row.id, apart: fields.marksOf(written) }]);
      about(this.#tx, {
        ...{ kind, verb: "updated", row: written, changes, actorId },
        ...(fields ? { fields } : {}),
      });
    }
  }
}

const nameOf = ({ name }: AnyKind, { id }: AnyRow) => `${name} ${id}`;
