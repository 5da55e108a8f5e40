import { v7 as uuidv7 } from "uuid";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { enqueue, type Jobs } from "../contracts.ts";
import type { z } from "zod";

type Entry = z.input<Jobs["identity.noteInAuditLog"]["payload"]>;

/** Has an entry written to the audit log, which lies in the control database, if this transaction commits. */
export function auditLater(tx: UnitOfWork, entry: Omit<Entry, "id" | "at">): void {
  enqueue(tx, "identity.noteInAuditLog", { ...entry, id: uuidv7(), at: tx.now.toISOString() });
}
