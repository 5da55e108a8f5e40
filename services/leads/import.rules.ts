import type { LeadRow } from "./lead-row.ts";
import type { LeadInput } from "./lead.schemas.ts";
import { externalIdTaken } from "./leads.errors.ts";
import { changeLead, composeLead, type Scoring } from "./leads.rules.ts";

type OnDuplicate = "skip" | "update" | "create";
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

/** By which keys stored leads have to be looked up. */
export function keysOf(inputs: readonly LeadInput[], onDuplicate: OnDuplicate) {
  const distinct = (values: (string | null | undefined)[]) => [
    ...new Set(values.filter((value) => typeof value === "string")),
  ];
  const isCreate = onDuplicate === "create"; // only external ids must not be given twice
  return {
    externalIds: distinct(inputs.map((input) => input.externalId)),
    emails: isCreate ? [] : distinct(inputs.map((input) => input.email)),
    phones: isCreate ? [] : distinct(inputs.map((input) => input.phone)),
  };
}

/** What the rows of a batch make of the leads, row by row: a later row sees what the earlier ones did. */
export class ImportPlan {
  readonly counts = { created: 0, updated: 0, skipped: 0 };
  readonly #onDuplicate: OnDuplicate;
  readonly #scoring: Scoring;
  readonly #origin: { organizationId: string; now: string; importId: string };
  readonly #byKey = new Map<string, ImportedLead>();
  readonly #leads: ImportedLead[] = [];

  /** @param matches stored leads that share a key with the batch */
  constructor(
    onDuplicate: OnDuplicate,
    matches: readonly LeadRow[],
    scoring: Scoring,
    origin: { organizationId: string; now: string; importId: string },
  ) {
    this.#onDuplicate = onDuplicate;
    this.#scoring = scoring;
    this.#origin = origin;
    for (const row of matches) this.#add({ row, before: row, changes: new Set(), from: [] });
  }

  /**
   * @param id of the lead, should the row make one
   * @throws 409 EXTERNAL_ID_TAKEN, LEAD_ALREADY_CONVERTED
   */
  take(from: FileRow, input: LeadInput, id: string): void {
    const known = this.#find(input);
    if (!known || this.#onDuplicate === "create") {
      if (input.externalId && this.#byKey.has(`id ${input.externalId}`)) throw externalIdTaken();
      const row = composeLead(input, { id, ...this.#origin }, this.#scoring);
      this.#add({ row, before: null, changes: new Set(), from: [from] });
      this.counts.created++;
    } else if (this.#onDuplicate === "skip") this.counts.skipped++;
    else this.#update(known, from, input);
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

  /** By external id, else by email, else by phone. */
  #find({ externalId, email, phone }: LeadInput): ImportedLead | undefined {
    return (
      this.#byKey.get(`id ${externalId}`)
      ?? this.#byKey.get(`email ${email}`)
      ?? this.#byKey.get(`phone ${phone}`)
    );
  }

  #update(lead: ImportedLead, from: FileRow, input: LeadInput): void {
    const change = changeLead(lead.row, input, this.#scoring, this.#origin.now);
    lead.from.push(from);
    this.counts.updated++;
    if (!change) return;
    // several rows may change one lead: stored once, it has one new version
    lead.row = { ...change.row, version: (lead.before?.version ?? 0) + 1, import_id: this.#origin.importId };
    for (const field of change.changes) lead.changes.add(field);
    this.#index(lead);
  }

  #add(lead: ImportedLead): void {
    this.#leads.push(lead);
    this.#index(lead);
  }

  /** The first lead with a key keeps it. */
  #index(lead: ImportedLead): void {
    const { external_id: externalId, email, phone } = lead.row;
    for (const key of [
      externalId && `id ${externalId}`,
      email && `email ${email}`,
      phone && `phone ${phone}`,
    ])
      if (key && !this.#byKey.has(key)) this.#byKey.set(key, lead);
  }
}
