import { phoneForms, phoneKey } from "../../mixins/values/phone.ts";
import type { LeadRow } from "../../entities/lead.ts";
import type { LeadInput } from "../../entities/lead.ts";
import { externalIdTaken } from "./leads.errors.ts";
import { changeLead, composeLead, rescored, type Scoring } from "./leads.rules.ts";

type OnDuplicate = "skip" | "update" | "create";
/** Keys by which a row may be found to be of a lead, the strongest first. */
const strength = ["externalId", "email", "phone"] as const;
export type MatchKey = (typeof strength)[number];

/** What an import says of a lead. */
export interface ImportInput extends LeadInput {
  /** When it was converted; of a lead whose status is converted. */
  convertedAt?: string;
}

/** By which keys stored leads have to be looked up; beside a key the stronger ones of its row, which must not differ. */
export interface ImportKeys {
  externalIds: string[];
  emails: { email: string; externalId: string | null }[];
  phones: { phone: string; email: string | null; externalId: string | null }[];
}
/** A row of the file, as the file of rejected rows shows it. */
interface FileRow {
  rowNumber: number;
  record: Record<string, string>;
}

/** A lead that an import makes or changes. */
export interface ImportedLead {
  row: LeadRow;
  /** As it was stored before; null for a new one. */
  before: LeadRow | null;
  changes: Set<string>;
  /** The rows of the file that went into it. */
  from: FileRow[];
}

/** The keys of a batch. */
export function keysOf(
  inputs: readonly LeadInput[],
  onDuplicate: OnDuplicate,
  matchBy: readonly MatchKey[],
): ImportKeys {
  // external ids must not be given twice, whatever is matched by
  const has = (key: MatchKey) => onDuplicate !== "create" && matchBy.includes(key);
  const externalIds = new Set<string>();
  const emails = new Map<string, ImportKeys["emails"][number]>();
  const phones = new Map<string, ImportKeys["phones"][number]>();
  for (const { externalId = null, email = null, phone = null } of inputs) {
    if (externalId !== null) externalIds.add(externalId);
    if (email !== null && has("email"))
      emails.set(JSON.stringify([email, externalId]), { email, externalId });
    if (phone !== null && has("phone"))
      for (const form of phoneForms(phone))
        phones.set(JSON.stringify([form, email, externalId]), { phone: form, email, externalId });
  }
  return { externalIds: [...externalIds], emails: [...emails.values()], phones: [...phones.values()] };
}

/** What the rows of a batch make of the leads, row by row: a later row sees what the earlier ones did. */
export class ImportPlan {
  readonly counts = { created: 0, updated: 0, skipped: 0 };
  readonly #onDuplicate: OnDuplicate;
  readonly #matchBy: readonly MatchKey[];
  readonly #scoring: Scoring;
  readonly #origin: { organizationId: string; now: string; importId: string };
  readonly #byKey = new Map<string, ImportedLead[]>();
  readonly #leads: ImportedLead[] = [];

  /** @param matches stored leads that share a key with the batch */
  constructor(
    { onDuplicate, matchBy }: { onDuplicate: OnDuplicate; matchBy: readonly MatchKey[] },
    matches: readonly LeadRow[],
    scoring: Scoring,
    origin: { organizationId: string; now: string; importId: string },
  ) {
    this.#onDuplicate = onDuplicate;
    this.#matchBy = strength.filter((key) => matchBy.includes(key));
    this.#scoring = scoring;
    this.#origin = origin;
    for (const row of matches) this.#add({ row, before: row, changes: new Set(), from: [] });
  }

  /**
   * @param id of the lead, should the row make one
   * @returns why the row was skipped, if so
   * @throws 409 EXTERNAL_ID_TAKEN, LEAD_ALREADY_CONVERTED
   */
  take(from: FileRow, { convertedAt, ...input }: ImportInput, id: string): string | undefined {
    const found = this.#find(input);
    if (!found || this.#onDuplicate === "create") {
      if (input.externalId && this.#byKey.has(keyOf("externalId", input.externalId))) throw externalIdTaken();
      const row = composeLead(input, { id, ...this.#origin }, this.#scoring);
      this.#add({
        row: convertedAt === undefined ? row : this.#converted(row, convertedAt),
        ...{ before: null, changes: new Set(), from: [from] },
      });
      this.counts.created++;
    } else if (this.#onDuplicate === "skip") {
      this.counts.skipped++;
      const { lead, key } = found;
      return `skipped: ${lead.before ? `the lead ${lead.row.id}` : `row ${lead.from[0]?.rowNumber}`} has this ${key}`;
    } else this.#update(found.lead, from, input);
    return undefined;
  }

  created(): ImportedLead[] {
    return this.#leads.filter(({ before }) => before === null);
  }

  /** Stored leads that differ now. */
  changed(): ImportedLead[] {
    return this.#leads.filter(({ before, changes }) => before !== null && changes.size > 0);
  }

  /** Takes a lead back that could not be stored; answers the rows that went into it. */
  withdraw({ from }: ImportedLead): FileRow[] {
    this.counts.created--;
    this.counts.updated -= from.length - 1;
    return from;
  }

  /** As it was brought from elsewhere: no contact is made of it here. */
  #converted(row: LeadRow, convertedAt: string): LeadRow {
    return rescored({ ...row, status: "converted", converted_at: convertedAt }, this.#scoring);
  }

  /** By the strongest key first; a weaker one finds nobody whom a stronger one tells apart. */
  #find(input: LeadInput): { lead: ImportedLead; key: MatchKey } | undefined {
    for (const key of this.#matchBy) {
      const value = input[key];
      if (typeof value !== "string") continue;
      const stronger = strength.slice(0, strength.indexOf(key));
      const lead = this.#byKey
        .get(keyOf(key, value))
        ?.find(({ row }) => stronger.every((other) => agree(input[other], valueOf(row, other))));
      if (lead) return { lead, key };
    }
    return undefined;
  }

  #update(lead: ImportedLead, from: FileRow, input: LeadInput): void {
    const change = changeLead(lead.row, input, this.#scoring, this.#origin.now);
    lead.from.push(from);
    this.counts.updated++;
    if (!change) return;
    // several rows may change one lead: stored once, it has one new version
    lead.row = { ...change.row, version: (lead.before?.version ?? 0) + 1, import_id: this.#origin.importId };
    for (const field of Object.keys(change.changes)) lead.changes.add(field);
    this.#index(lead);
  }

  #add(lead: ImportedLead): void {
    this.#leads.push(lead);
    this.#index(lead);
  }

  #index(lead: ImportedLead): void {
    for (const key of strength) {
      const value = valueOf(lead.row, key);
      if (value === null) continue;
      const holders = this.#byKey.get(keyOf(key, value));
      if (!holders) this.#byKey.set(keyOf(key, value), [lead]);
      else if (!holders.includes(lead)) holders.push(lead);
    }
  }
}

const valueOf = (row: LeadRow, key: MatchKey): string | null =>
  key === "externalId" ? row.external_id : row[key];
const keyOf = (key: MatchKey, value: string): string => `${key} ${key === "phone" ? phoneKey(value) : value}`;
/** Whether two may be of one lead, by this key: one says nothing, or both the same. */
const agree = (a: string | null | undefined, b: string | null): boolean => !a || !b || a === b;
