import { defineEntity, p, type InferEntity } from "@mikro-orm/postgresql";
import { tenantColumns } from "./columns.ts";

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
