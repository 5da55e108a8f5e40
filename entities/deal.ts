import * as f from "../mixins/records/kind/fields.ts";
import { defineKind, type AnyRow, type RowOf, type ViewOf } from "../mixins/records/kind/kind.ts";
import { stageKinds } from "./pipeline.ts";

/** What may be sold to somebody, on its way through the stages of a pipeline. */
export const deal = defineKind("deal", {
  plural: "deals",
  title: ["name"],
  identifiedBy: ["name", "externalId"],
  fields: {
    externalId: f.externalId(),
    name: f.text(300, { search: "A", isSortable: true, personal: "name", aliases: ["deal", "opportunity"] }),
    amount: f.money(),
    /** Default: that of its stage, else the organization's default. */
    pipelineId: f.always(f.ref("pipeline")),
    /** Default: the first open one of its pipeline. */
    stageId: f.always(f.identifier()),
    /** Since when it is there. */
    stageEnteredAt: f.byService(f.always(f.time())),
    /** Its place among the deals of its stage, which are in the order of these texts, by code points. */
    position: f.byService(f.always(f.text(200, { isFilterable: false }))),
    /** That of its stage. */
    status: f.byService(f.oneOf(stageKinds, "open")),
    /** Of a lost one. */
    lostReason: f.text(500, { personal: true, isFilterable: false }),
    expectedCloseAt: f.time({ isSortable: true }),
    /** When it was won or lost; who makes it so may say when that was. */
    closedAt: f.time({ isSortable: true }),
    ownerId: f.user({ isOwner: true }),
    contactId: f.ref("contact"),
    companyId: f.ref("company"),
    tags: f.tags(),
    customFields: f.customFields(),
  },
  example: {
    name: "Looms for Rao Textiles",
    amount: { amount: "450000.00", currency: "INR" },
    expectedCloseAt: "2026-12-31T00:00:00.000Z",
  },
});
export type DealRow = RowOf<typeof deal> & AnyRow;
export type DealView = ViewOf<typeof deal>;
