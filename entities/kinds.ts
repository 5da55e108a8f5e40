import type { AnyKind } from "../mixins/records/kind/kind.ts";
import { activity } from "./activity.ts";
import { callQueue } from "./call-queue.ts";
import { company } from "./company.ts";
import { contact } from "./contact.ts";
import { deal } from "./deal.ts";
import { lead } from "./lead.ts";
import { pipeline } from "./pipeline.ts";
import { product } from "./product.ts";
import { rate } from "./rate.ts";
import { report } from "./report.ts";

/** Every kind of record, by name. */
export const kinds: ReadonlyMap<string, AnyKind> = new Map(
  [lead, contact, company, deal, pipeline, product, rate, activity, report, callQueue].map((kind) => [
    kind.name,
    kind as AnyKind,
  ]),
);

/** References from tables that are no kinds. */
export const references = [
  { refersTo: "lead", table: "lead_reminders", column: "lead_id" },
  // of whatever kind
  { table: "comments", column: "record_id", kindColumn: "record_kind" },
  ...["lead", "contact", "company"].map((refersTo) => ({ refersTo, table: "calls", column: "record_id" })),
  ...[...kinds.keys()].map((refersTo) => ({
    ...{ refersTo, table: "list_entries", column: "record_id", once: "list_id" },
  })),
];
