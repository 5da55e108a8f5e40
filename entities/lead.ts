import { z } from "zod";
import * as f from "../mixins/records/kind/fields.ts";
import {
  defineKind,
  type InputOf,
  type AnyRow,
  type RowOf,
  type ViewOf,
} from "../mixins/records/kind/kind.ts";
import { ofPersons, titleHeadings } from "./person.ts";

export const leadStatuses = ["new", "contacted", "qualified", "unqualified", "converted"] as const;

/** Why a lead has its score: a rule that it meets. */
export const scoreReason = z
  .strictObject({ factor: z.string(), points: z.number(), detail: z.string() })
  .meta({ id: "ScoreReason" });
export type ScoreReason = z.output<typeof scoreReason>;

/** What other programs call the statuses of leads. */
const statusWords: Record<(typeof leadStatuses)[number], readonly string[]> = {
  new: ["open", "opennotcontacted", "notcontacted", "uncontacted", "fresh", "raw", "created"],
  contacted: [
    ...[
      "working",
      "workingcontacted",
      "inprogress",
      "attempted",
      "attemptedtocontact",
      "connected",
      "engaged",
    ],
    ...["followup", "nurturing", "contactmade", "opencontacted"],
  ],
  qualified: [
    ...["opendeal", "salesqualified", "sql", "mql", "marketingqualified", "hot", "interested", "accepted"],
  ],
  unqualified: [
    ...["disqualified", "junk", "junklead", "lost", "lostlead", "notqualified", "notinterested", "badtiming"],
    ...["dead", "closednotconverted", "rejected", "recycled", "invalid"],
  ],
  converted: ["closedconverted", "customer", "won", "closedwon", "client"],
};

/** A person who may buy, before they are a contact. */
export const lead = defineKind("lead", {
  plural: "leads",
  title: ["firstName", "lastName", "companyName", "email", "phone"],
  identifiedBy: ["email", "phone", "firstName", "lastName", "companyName", "externalId"],
  fields: {
    externalId: f.externalId({ personal: true, aliases: ["prospect id", "lead id"] }),
    ...ofPersons,
    companyName: f.text(300, {
      ...{ search: "A", personal: true, isSortable: true },
      aliases: ["company", "organization", "organisation", "account name", "account"],
    }),
    title: f.text(200, { search: "C", personal: true, aliases: titleHeadings }),
    source: f.text(100, { aliases: ["lead source"] }),
    // converted is what `convert` makes of it
    status: f.oneOf(leadStatuses, "new", {
      ...{ notGiven: ["converted"], aliases: ["lead status"], words: statusWords },
    }),
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
    convertedAt: f.byService(f.time({ isImported: true })),
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
