import { createHash } from "node:crypto";
import type { Person } from "../../mixins/privacy/personal-data.ts";
import { equalChunks } from "../../mixins/upload/chunks.ts";
import { enqueue, record, type JobCtx } from "../contracts.ts";
import { dropChunks, insertChunk } from "./archive.repository.ts";
import { zipSections } from "./archive.ts";
import { fenced, isFenced, isStopping, stopping } from "./privacy.errors.ts";
import { claimRequest, completeRequest } from "./requests.repository.ts";
import { partsOf } from "./parts.ts";
import { openPerson, Run, type PrivacyParts } from "./run.ts";

/** Bytes of one row of privacy_chunks, before they are sealed: what making and reading an archive hold in memory. */
const chunkBytes = 256 * 1024;
const keptDays = 7;
const mostRounds = 5;

/**
 * Makes the archive of an export. A run that was cut off leaves pieces, which the next one drops and begins anew: an archive
 * is made of one reading.
 */
export async function runExport(ctx: JobCtx<"privacy.export">, node: PrivacyParts): Promise<void> {
  const { tx } = ctx.locals;
  const { organizationId } = tx;
  const { requestId } = ctx.params;
  const cipher = await node.keys.of(organizationId);
  const claim = await node.database.transaction({ organizationId }, async (own) => {
    const claimed = await claimRequest(own, requestId);
    if (claimed) await dropChunks(own, requestId);
    return claimed;
  });
  if (!claim) return;
  const run = new Run(node, organizationId, claim);
  try {
    const person = claim.scope === "person" ? await findAll(run, openPerson(cipher, claim)) : null;
    const parts = partsOf(node.contracts);
    const { stream, digests } = zipSections(
      parts.map(({ name }) => ({ name, records: recordsOf(run, name, person, node) })),
      { organizationId, requestId, scope: claim.scope, madeAt: tx.now.toISOString() },
    );
    let cause: unknown;
    stream.on("error", (error) => (cause = error));
    const chunks = equalChunks(stream, {
      chunkBytes,
      maxBytes: Number.POSITIVE_INFINITY,
      tooLarge: () => new Error("unbounded"),
      brokeOff: () => (cause instanceof Error ? cause : new Error("The archive broke off")),
    });
    const hash = createHash("sha256");
    let bytes = 0;
    let position = 0;
    for await (const chunk of chunks) {
      const isOurs = await node.database.transaction({ organizationId }, (own) =>
        insertChunk(own, cipher, claim, position, chunk),
      );
      if (!isOurs) throw fenced();
      hash.update(chunk);
      bytes += chunk.length;
      position++;
    }
    const receipt = parts.map(({ name }) => ({
      part: name,
      count: digests.find((digest) => digest.name === `${name}.json`)?.records ?? 0,
      kept: 0,
    }));
    const archive = { bytes, sha256: hash.digest("hex"), days: keptDays };
    const done = await completeRequest(tx, claim, { parts: receipt, archive });
    if (!done) return;
    record(tx, {
      type: "privacy.completed",
      entity: { kind: "privacy", id: requestId, version: done.version },
      actorId: claim.requested_by,
      audience: null,
      data: { kind: claim.kind, parts: receipt },
    });
  } catch (error) {
    if (isStopping(error)) enqueue(tx, "privacy.export", { requestId }, { key: requestId });
    else if (!isFenced(error)) throw error;
  }
}

/** Asks until nothing more is found: a contact may lead to a lead that was asked for before it. */
async function findAll(run: Run, given: Person): Promise<Person> {
  let person = given;
  for (let round = 0; round < mostRounds; round++) {
    const found = await run.find(person);
    if (round > 0 && found.subjects.length === person.subjects.length) return found;
    person = found;
  }
  return person;
}

async function* recordsOf(
  run: Run,
  part: string,
  person: Person | null,
  { broker }: PrivacyParts,
): AsyncGenerator<unknown[]> {
  let after: string | null = null;
  do {
    if (broker.stopping) throw stopping();
    const answer: { records: unknown[]; next: string | null } = await run.ask(part, "export", {
      person,
      after,
    });
    yield answer.records;
    after = answer.next;
  } while (after !== null);
}
