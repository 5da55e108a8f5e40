import { defineEntity, p, type InferEntity } from "@mikro-orm/postgresql";
import { tenantColumns } from "./columns.ts";

export const Company = defineEntity({
  name: "Company",
  tableName: "companies",
  properties: {
    ...tenantColumns,
    name: p.string(),
    domain: p.string().nullable(),
    assignedTo: p.uuid().nullable(),
    deletedAt: p.datetime(3).nullable(),
  },
});
export type Company = InferEntity<typeof Company>;

export const Contact = defineEntity({
  name: "Contact",
  tableName: "contacts",
  properties: {
    ...tenantColumns,
    firstName: p.string().nullable(),
    lastName: p.string().nullable(),
    email: p.string().nullable(),
    phone: p.string().nullable(),
    title: p.string().nullable(),
    lifecycleStage: p.string().default("lead"),
    companyId: p.uuid().nullable(),
    leadId: p.uuid().nullable(),
    assignedTo: p.uuid().nullable(),
    tags: p.array<string>(),
    customFields: p.json<Record<string, unknown>>(),
    consent: p.json<Record<string, unknown>>(),
    deletedAt: p.datetime(3).nullable(),
  },
});
export type Contact = InferEntity<typeof Contact>;

export interface Stage {
  id: string;
  name: string;
  /** Percent. */
  probability: number;
  position: number;
  kind: "open" | "won" | "lost";
}
export const Pipeline = defineEntity({
  name: "Pipeline",
  tableName: "pipelines",
  properties: {
    ...tenantColumns,
    name: p.string(),
    stages: p.json<Stage[]>(),
    isDefault: p.boolean().default(false),
  },
});
export type Pipeline = InferEntity<typeof Pipeline>;

export const Deal = defineEntity({
  name: "Deal",
  tableName: "deals",
  properties: {
    ...tenantColumns,
    name: p.string(),
    /** Decimal text; money never passes through a float. */
    amount: p.decimal("string").nullable(),
    currency: p.string().nullable(),
    pipelineId: p.uuid(),
    stageId: p.uuid(),
    ownerId: p.uuid().nullable(),
    contactId: p.uuid().nullable(),
    companyId: p.uuid().nullable(),
    status: p.string().$type<"open" | "won" | "lost">().default("open"),
    lostReason: p.string().nullable(),
    expectedCloseAt: p.datetime(3).nullable(),
    deletedAt: p.datetime(3).nullable(),
  },
});
export type Deal = InferEntity<typeof Deal>;
