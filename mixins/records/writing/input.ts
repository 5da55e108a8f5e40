import { versionMismatch } from "../../contract/errors.ts";
import { newId } from "../../database/new-id.ts";
import type { UnitOfWork } from "../../database/unit-of-work.ts";

/** What names the record in the parameters of an action, beside its fields. */
interface Addressed {
  id?: string;
  expectedVersion?: number | undefined;
}

/** The input by which an action's parameters change a record: only the fields that were given. */
export function givenFields<T extends Addressed>({
  id: _id,
  expectedVersion: _expectedVersion,
  ...input
}: T): Omit<T, keyof Addressed> {
  return input;
}

/** @throws 412 when it is not the version that the caller saw */
export function requireVersion({ version }: { version: number }, expected: number | undefined): void {
  if (expected !== undefined && expected !== version) throw versionMismatch(version);
}

/** What a new record has of its unit of work. */
export const newOwn = ({ organizationId, now }: Pick<UnitOfWork, "organizationId" | "now">) => ({
  id: newId(),
  organizationId,
  now: now.toISOString(),
});
