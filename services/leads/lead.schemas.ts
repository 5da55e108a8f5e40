import { z } from "zod";
import { emailText, phoneText } from "../../mixins/records/conditions/fields.ts";
import * as fields from "../../mixins/records/fields.ts";
import type { Listing } from "../../mixins/records/listing.ts";
import { email, id, text, timestamp } from "../../mixins/contract/schemas.ts";

export const leadStatuses = ["new", "contacted", "qualified", "unqualified", "converted"] as const;

export const scoreReason = z
  .strictObject({ factor: z.string(), points: z.number(), detail: z.string() })
  .meta({ id: "ScoreReason" });
/** A person who may buy, before they are a contact. */
export const lead = z
  .strictObject({
    id,
    externalId: z.string().nullable(),
    firstName: z.string().nullable(),
    lastName: z.string().nullable(),
    /** Lowercased. */
    email: z.string().nullable(),
    /** E.164. */
    phone: z.string().nullable(),
    companyName: z.string().nullable(),
    title: z.string().nullable(),
    source: z.string().nullable(),
    status: z.enum(leadStatuses),
    /** 0 to 100; scoreReasons explain every point. */
    score: z.number().int().min(0).max(100),
    scoreReasons: z.array(scoreReason),
    assignedTo: id.nullable(),
    tags: z.array(z.string()),
    customFields: z.record(z.string(), z.unknown()),
    /** Keys of sensitive custom fields that have a value; it is null to those who may not see it. Absent where there is none. */
    sensitive: z.array(z.string()).optional(),
    consent: z.record(z.string(), z.unknown()),
    lastActivityAt: timestamp.nullable(),
    convertedAt: timestamp.nullable(),
    createdAt: timestamp,
    updatedAt: timestamp,
    version: z.number().int(),
  })
  .meta({ id: "Lead" });
export type LeadView = z.output<typeof lead>;

/** What a caller may say of a lead. Phones may be written as people do; they become E.164. */
const leadFields = {
  externalId: text(200).nullable(),
  firstName: text(200).nullable(),
  lastName: text(200).nullable(),
  email: email.nullable(),
  phone: text(40).nullable(),
  companyName: text(300).nullable(),
  title: text(200).nullable(),
  source: text(100).nullable(),
  assignedTo: id.nullable(),
  tags: fields.tags().input,
  customFields: fields.customFields().input,
  consent: fields.consent().input,
};
/** A lead is somebody: one of these must be there. */
const identifying = ["email", "phone", "firstName", "lastName", "companyName", "externalId"] as const;
const somebody = (input: Partial<Record<(typeof identifying)[number], unknown>>) =>
  identifying.some((field) => input[field] !== undefined && input[field] !== null);
const somebodyMessage = `give at least one of ${identifying.join(", ")}`;

const exampleInput = {
  ...{ firstName: "Asha", lastName: "Rao", email: "asha.rao@example.com", phone: "+919876543210" },
  ...{ companyName: "Rao Textiles", title: "Head of purchasing", source: "website" },
  ...{ tags: ["fair-2026"], customFields: { city: "Pune" }, consent: { email: true } },
};

export const leadInput = z
  .strictObject({ ...leadFields, status: z.enum(["new", "contacted", "qualified", "unqualified"]) })
  .partial();
export type LeadInput = z.output<typeof leadInput>;
export const newLead = leadInput
  .refine(somebody, somebodyMessage)
  .meta({ id: "NewLead", examples: [exampleInput] });

/** Values that are stored in one form, and found by any. */
export const storedForms = {
  email: emailText,
  phone: phoneText,
};

export const leadListing: Listing = {
  table: "leads",
  fields: {
    id: "uuid",
    externalId: "text",
    firstName: "text",
    lastName: "text",
    email: "text",
    phone: "text",
    companyName: "text",
    title: "text",
    source: "text",
    status: "text",
    score: "integer",
    scoreReasons: "jsonText",
    assignedTo: "uuid",
    tags: "text[]",
    customFields: "json",
    consent: "json",
    lastActivityAt: "timestamp",
    convertedAt: "timestamp",
    createdAt: "timestamp",
    updatedAt: "timestamp",
    version: "integer",
  },
  filterable: [
    ...["externalId", "firstName", "lastName", "email", "phone", "companyName", "title", "source", "status"],
    ...["score", "assignedTo", "tags", "lastActivityAt", "convertedAt", "createdAt", "updatedAt"],
  ],
  values: { status: leadStatuses },
  stored: storedForms,
  sortable: ["createdAt", "updatedAt", "score", "lastActivityAt", "lastName", "companyName"],
  nullable: ["lastActivityAt", "lastName", "companyName"],
  defaultSort: "-createdAt",
  finding: {
    terms: ["externalId", "firstName", "lastName", "companyName", "title", "source", "status"],
    likes: [
      ...[
        "externalId",
        "firstName",
        "lastName",
        "email",
        "phone",
        "companyName",
        "title",
        "source",
        "status",
      ],
    ],
  },
  customFields: true,
};
