import type { Contract } from "../../mixins/contract/contract.ts";
import type { PersonalDataSpec } from "../../mixins/privacy/personal-data.ts";
import type { ReceiptPart } from "./privacy.contract.ts";

/** One kind of data: `leads.leads`. */
export interface Part {
  name: string;
  spec: PersonalDataSpec;
}

/** Every kind of personal data of the system, in the order of the contracts. */
export const partsOf = (contracts: readonly Contract[]): Part[] =>
  contracts.flatMap((contract) =>
    Object.entries(contract.personalData).map(([kind, spec]) => ({ name: `${contract.name}.${kind}`, spec })),
  );

/** How far a walk over the parts is: saved after each step, so that another run goes on from there. */
export interface Progress {
  /** An erasure goes round until it finds nothing new. */
  pass: number;
  /** Whether the records of this pass are known. */
  isFound: boolean;
  /** Index of the part in hand. */
  part: number;
  /** Whether a part waits for something: the pass is then taken again. */
  isBusy: boolean;
  after: string | null;
  /** Rises with each step; names it, so that one repeated after a crash answers what it answered. */
  step: number;
  counts: Record<string, { count: number; kept: number }>;
}
export const start: Progress = {
  pass: 0,
  isFound: false,
  part: 0,
  isBusy: false,
  after: null,
  step: 0,
  counts: {},
};

export const receiptParts = (parts: readonly Part[], { counts }: Progress): ReceiptPart[] =>
  parts.map(({ name }) => ({ part: name, count: 0, kept: 0, ...counts[name] }));
