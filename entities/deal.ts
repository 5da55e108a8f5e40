import * as f from "../mixins/records/kind/fields.ts";
import { defineKind, type AnyRow, type RowOf, type ViewOf } from "../mixins/records/kind/kind.ts";
import { stageKinds } from "./pipeline.ts";

/** What is sold by it. */
const lineItems = f.parts(
  {
    /** Default: a new one. An item that is given with its id stays the same one. */
    id: f.identifier(),
    productId: f.ref("product"),
    /** Default: the product's. */
    name: f.text(300),
    /** Default 1; up to 3 digits after the point. */
    quantity: f.decimal(0, 1_000_000_000, 3, { fallback: 1 }),
    /** Default: the product's. All of a deal are in one currency. */
    unitPrice: f.money(),
    /** In percent of the item; default 0, up to 2 digits after the point. */
    discount: f.decimal(0, 100, 2, { fallback: 0 }),
  },
  {
    ...{ table: "deal_line_items", key: ["id"], hasOwnId: true, isWhole: true, most: 200, primaries: [] },
    filters: { productId: (id) => [id] },
  },
);
/** Who has a say in it; the first is the deal's own. */
const contacts = f.parts(
  { contactId: f.ref("contact"), role: f.text(200, { personal: true }) },
  {
    ...{ table: "deal_contacts", key: ["contactId"], most: 50 },
    primaries: [{ field: "contactId", value: "contactId" }],
    filters: { contactId: (id) => [id] },
  },
  { personal: true },
);

/** What other programs call it. */
const statusWords = { won: ["closedwon"], lost: ["closedlost"], open: ["inprogress"] };

/** What may be sold to somebody, on its way through the stages of a pipeline. */
export const deal = defineKind("deal", {
  plural: "deals",
  title: ["name"],
  identifiedBy: ["name", "externalId"],
  fields: {
    externalId: f.externalId(),
    name: f.text(300, { search: "A", isSortable: true, personal: "name", aliases: ["deal", "opportunity"] }),
    /** The sum of its line items, where there are any: each the quantity times the price without the discount, rounded by itself. */
    amount: f.money(),
    lineItems,
    /** Default: that of its stage, else the organization's default. */
    pipelineId: f.always(f.ref("pipeline", { isNamed: true, aliases: ["pipeline"], follows: "stageId" })),
    /** Default: the first open one of its pipeline. */
    stageId: f.always(f.identifier({ isNamed: true, aliases: ["stage", "deal stage"] })),
    /** Since when it is there. */
    stageEnteredAt: f.byService(f.always(f.time())),
    /** Its place among the deals of its stage, which are in the order of these texts, by code points. */
    position: f.byService(f.always(f.text(200, { isFilterable: false }))),
    /** That of its stage. */
    status: f.byService(
      f.oneOf(stageKinds, "open", { isImported: true, aliases: ["deal status"], words: statusWords }),
    ),
    /** Of a lost one. */
    lostReason: f.text(500, { personal: true, isFilterable: false, follows: "stageId" }),
    expectedCloseAt: f.time({ isSortable: true, aliases: ["expected close date"] }),
    /** When it was won or lost; who makes it so may say when that was. */
    closedAt: f.time({ isSortable: true, aliases: ["close date", "closed date"], follows: "stageId" }),
    ownerId: f.user({ isOwner: true }),
    contactId: f.ref("contact", { isAssociated: true }),
    contacts,
    companyId: f.ref("company", { isAssociated: true }),
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
