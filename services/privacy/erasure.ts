import { markHash, rememberErased } from "../../mixins/privacy/erased-persons.ts";
import type { Person } from "../../mixins/privacy/personal-data.ts";
import { enqueue, record, type JobCtx } from "../contracts.ts";
import { auditLater } from "./audit.ts";
import { isFenced } from "./privacy.errors.ts";
import { claimRequest, completeRequest } from "./requests.repository.ts";
import { partsOf, receiptParts } from "./parts.ts";
import { openPerson, Run, sealPerson, type PrivacyParts } from "./run.ts";

const busyDelayMs = 5_000;
const mostPasses = 20;

/**
 * Erases a person from every service. Whom it is about is known, sealed, before anything is erased; every step commits with
 * its count, so a run that died is gone on with and one repeated has the same receipt. It goes round until no service finds
 * a new record: one that was being made meanwhile, by a conversion or an import, is found by the next pass.
 */
export async function runErasure(ctx: JobCtx<"privacy.erase">, node: PrivacyParts): Promise<void> {
  const { tx } = ctx.locals;
  const { organizationId } = tx;
  const { requestId } = ctx.params;
  const cipher = await node.keys.of(organizationId);
  const claim = await node.database.transaction({ organizationId }, (own) => claimRequest(own, requestId));
  if (!claim) return;
  const run = new Run(node, organizationId, claim);
  const parts = partsOf(node.contracts);
  let person = openPerson(cipher, claim);
  try {
    for (;;) {
      const { pass, isFound } = run.progress;
      if (pass > mostPasses) throw new Error(`Erasure ${requestId} finds new records again and again`);
      if (!isFound) {
        const found = await run.find(person);
        if (pass > 0 && found.subjects.length === person.subjects.length) break;
        person = found;
        await run.save({ ...run.progress, isFound: true }, async (own) => {
          await rememberErased(
            own,
            found.marks.map((mark) => markHash(cipher, mark)),
          );
          return sealPerson(cipher, requestId, found);
        });
      }
      const isThrough = await run.walk(parts, ({ name }, after, step) =>
        run.ask(name, "erase", { person, after, requestedAt: claim.created_at }, step),
      );
      const { isBusy } = run.progress;
      if (isThrough)
        await run.save({
          ...run.progress,
          ...{ pass: isBusy ? pass : pass + 1, isFound: false, part: 0, isBusy: false, after: null },
        });
      if (!isThrough || isBusy) {
        enqueue(tx, "privacy.erase", { requestId }, { key: requestId, delayMs: isThrough ? busyDelayMs : 0 });
        return;
      }
    }
  } catch (error) {
    if (isFenced(error)) return;
    throw error;
  }
  const receipt = receiptParts(parts, run.progress);
  const done = await completeRequest(tx, claim, {
    parts: receipt,
    reason: claim.reason === null ? null : withoutTraces(claim.reason, person),
  });
  if (!done) return;
  const actorId = claim.requested_by;
  const entity = { kind: "person", id: requestId, version: done.version };
  record(tx, {
    type: "person.erased",
    entity,
    actorId,
    audience: null,
    data: { requestId, subjects: person.subjects },
  });
  auditLater(tx, { type: "privacy.person_erased", actorId, subjectId: requestId });
}

/** What the person was known by is not kept in the reason either. */
function withoutTraces(text: string, person: Person): string {
  const traces = [...person.emails, ...person.phones, ...person.names];
  return traces.reduce((left, trace) => left.replace(new RegExp(literal(trace), "gi"), "[erased]"), text);
}

const literal = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
