import type { ServiceBroker } from "moleculer";
import { systemMeta } from "../../mixins/access/principal.ts";
import type { Contract } from "../../mixins/contract/contract.ts";
import type { Database } from "../../mixins/database/database.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import type { OrganizationKeys } from "../../mixins/encryption/organization-keys.ts";
import {
  mergePersons,
  nobody,
  type PersonalDataAnswer,
  type PersonalDataParams,
  type PersonalDataVerb,
  type Person,
} from "../../mixins/privacy/personal-data.ts";
import { fenced } from "./privacy.errors.ts";
import { partsOf, start, type Part, type Progress } from "./parts.ts";
import { saveProgress, type Claim } from "./requests.repository.ts";

/** What a job of this service needs of its node. */
export interface PrivacyParts {
  broker: ServiceBroker;
  database: Database;
  keys: OrganizationKeys;
  contracts: readonly Contract[];
  /** EVENTS_RETENTION_DAYS of the installation. */
  eventsRetentionDays: number;
}

const callTimeoutMs = 300_000;

function askPart<V extends PersonalDataVerb>(
  { broker }: PrivacyParts,
  organizationId: string,
  call: { part: string; verb: V; params: PersonalDataParams<V>; key?: string | undefined },
): Promise<PersonalDataAnswer<V>> {
  const { part, verb, params, key } = call;
  const idempotency = key === undefined ? {} : { idempotency: { key, fingerprint: key } };
  return broker.call<PersonalDataAnswer<V>, PersonalDataParams<V>>(`${part}.${verb}`, params, {
    meta: { ...systemMeta(organizationId), ...idempotency },
    timeout: callTimeoutMs,
  });
}

/** What the services have of the person now. */
export async function lookUp(node: PrivacyParts, organizationId: string, person: Person): Promise<Person> {
  let found = nobody;
  // the second round asks the first parts with what the last ones knew
  for (const { name: part } of [...partsOf(node.contracts), ...partsOf(node.contracts)]) {
    const params = { person: mergePersons(person, found) };
    found = mergePersons(found, await askPart(node, organizationId, { part, verb: "find", params }));
  }
  return found;
}

/** One run of one request: asks the services, and keeps how far it is. */
export class Run {
  readonly claim: Claim;
  readonly organizationId: string;
  progress: Progress;
  readonly #parts: PrivacyParts;

  constructor(parts: PrivacyParts, organizationId: string, claim: Claim) {
    this.#parts = parts;
    this.organizationId = organizationId;
    this.claim = claim;
    this.progress = claim.progress ?? start;
  }

  /** @param step makes it run once: repeated with the same step, it answers what it answered */
  ask<V extends PersonalDataVerb>(
    part: string,
    verb: V,
    params: PersonalDataParams<V>,
    step?: number,
  ): Promise<PersonalDataAnswer<V>> {
    const key = step === undefined ? undefined : `privacy ${this.claim.id} ${step}`;
    return askPart(this.#parts, this.organizationId, { part, verb, params, key });
  }

  /** All that the services know of the person: each is asked with what those before it knew. */
  async find(known: Person): Promise<Person> {
    let person = known;
    for (const { name } of partsOf(this.#parts.contracts)) {
      const found = await this.ask(name, "find", { person });
      person = mergePersons(person, found);
    }
    return person;
  }

  /** @throws when somebody else has the request */
  async save(progress: Progress, write?: (tx: UnitOfWork) => Promise<Buffer | null>): Promise<void> {
    await this.#parts.database.transaction({ organizationId: this.organizationId }, async (tx) => {
      const sealed = (await write?.(tx)) ?? null;
      if (!(await saveProgress(tx, this.claim, progress, sealed))) throw fenced();
    });
    this.progress = progress;
  }

  /**
   * Takes the steps of this pass over the parts.
   * @returns whether it came to the end: not when the node wants to stop
   */
  async walk(
    parts: readonly Part[],
    step: (part: Part, after: string | null, step: number) => Promise<StepAnswer>,
  ): Promise<boolean> {
    for (let part = parts[this.progress.part]; part; part = parts[this.progress.part]) {
      if (this.#parts.broker.stopping) return false;
      const { progress } = this;
      const answer = await step(part, progress.after, progress.step);
      const before = progress.counts[part.name] ?? { count: 0, kept: 0 };
      await this.save({
        ...progress,
        step: progress.step + 1,
        part: progress.part + (answer.next === null ? 1 : 0),
        isBusy: progress.isBusy || answer.isBusy === true,
        after: answer.next,
        counts: {
          ...progress.counts,
          // what is kept is met again by each pass
          [part.name]: { count: before.count + answer.count, kept: Math.max(before.kept, answer.kept ?? 0) },
        },
      });
    }
    return true;
  }
}

interface StepAnswer {
  count: number;
  kept?: number;
  next: string | null;
  isBusy?: boolean | undefined;
}

const personPlace = (requestId: string) => ({
  table: "privacy_requests",
  column: "sealed_person",
  row: requestId,
});
type Cipher = Awaited<ReturnType<OrganizationKeys["of"]>>;
export const sealPerson = (cipher: Cipher, requestId: string, person: Person): Buffer =>
  cipher.seal(personPlace(requestId), JSON.stringify(person));
export const openPerson = (cipher: Cipher, { id, sealed_person: sealed }: Claim): Person =>
  sealed === null ? nobody : (JSON.parse(cipher.open(personPlace(id), sealed)) as Person);
