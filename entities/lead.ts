import { z } from "zod";
import * as f from "../mixins/records/fields.ts";
import { defineKind, type InputOf, type AnyRow, type RowOf, type ViewOf } from "../mixins/records/kind.ts";

export const leadStatuses = ["new", "contacted", "qualified", "unqualified", "converted"] as const;

/** Why a lead has its score: a rule that it meets. */
export const scoreReason = z
  .strictObject({ factor: z.string(), points: z.number(), detail: z.string() })
  .meta({ id: "ScoreReason" });
export type ScoreReason = z.output<typeof scoreReason>;

/** A person who may buy, before they are a contact. */
export const lead = defineKind("lead", {
  plural: "leads",
  title: ["firstName", "lastName", "companyName", "email", "phone"],
  identifiedBy: ["email", "phone", "firstName", "lastName", "companyName", "externalId"],
  fields: {
    externalId: f.text(200, { personal: true }),
    firstName: f.text(200, { search: "A", personal: "name" }),
    lastName: f.text(200, { search: "A", personal: "name", isSortable: true }),
    email: f.email({ search: "B", personal: "email", matches: 0.9 }),
    phone: f.phone({ search: "B", personal: "phone", matches: 0.7 }),
    companyName: f.text(300, { search: "A", personal: true, isSortable: true }),
    title: f.text(200, { search: "C", personal: true }),
    source: f.text(100),
    // converted is what `convert` makes of it
    status: f.oneOf(leadStatuses, "new", { notGiven: ["converted"] }),
    /** 0 to 100; scoreReasons explain every point. */
    score: f.byService(f.count(0, 100, { isSortable: true })),
    scoreReasons: f.byService(f.sharedJson(z.array(scoreReason), { personal: true })),
    /** Version of the organization's scoring rules that the score was made with; 0 are the defaults. */
    scoringVersion: f.unseen(f.count(0, 2_147_483_647)),
    assignedTo: f.user({ isOwner: true }),
    tags: f.tags(),
    customFields: f.customFields(),
    consent: f.consent(),
    lastActivityAt: f.byService(f.time({ isSortable: true })),
    convertedAt: f.byService(f.time()),
    /** The import that wrote the lead last. */
    importId: f.unseen(f.ref("import")),
  },
  example: {
    ...{ firstName: "Asha", lastName: "Rao", email: "asha.rao@example.com", phone: "+919876543210" },
    ...{ companyName: "Rao Textiles", title: "Head of purchasing", source: "website" },
    ...{ tags: ["fair-2026"], customFields: { city: "Pune" }, consent: { email: true } },
  },
});
export type LeadRow = RowOf<typeof lead> & AnyRow;
export type LeadInput = Partial<InputOf<typeof lead>>;
export type LeadView = ViewOf<typeof lead>;
