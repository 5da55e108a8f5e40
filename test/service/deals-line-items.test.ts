import { beforeAll, expect, test } from "@jest/globals";
import type { Client } from "../support/client.ts";
import { bodyOf, listOf, made, recordWorld, unique, type Body } from "../support/records.ts";

let admin: Client;
let stranger: Client;
let loom: Body;
beforeAll(async () => {
  ({ admin, stranger } = await recordWorld("LineItems"));
  loom = await made(admin, "/products", { name: "Loom", sku: "L-1", unitPrice: inr("1500.00") });
});

const inr = (amount: string) => ({ amount, currency: "INR" });
const makeDeal = (more: object) => made(admin, "/deals", { name: `D ${unique()}`, ...more });
const change = (deal: Body, body: object) => admin.send("PATCH", `/deals/${deal.id}`, body);
const itemsOf = (deal: unknown) => (deal as { lineItems: Body[] }).lineItems;

test("a line item takes name and price from its product, and the deal's amount is the sum, exact to the paisa", async () => {
  const deal = await makeDeal({
    lineItems: [
      { productId: loom.id, quantity: 3 },
      { productId: loom.id, name: "Used loom", unitPrice: inr("999.99"), quantity: 0.333, discount: 12.5 },
      { name: "Fitting", unitPrice: inr("0.10"), quantity: 1.5 },
    ],
  });
  expect(deal).toMatchObject({
    // 4500.00, 291.3720… as 291.37, 0.15
    amount: inr("4791.52"),
    lineItems: [
      { productId: loom.id, name: "Loom", quantity: 3, unitPrice: inr("1500.00"), discount: 0 },
      { productId: loom.id, name: "Used loom", quantity: 0.333, discount: 12.5 },
      { productId: null, name: "Fitting", quantity: 1.5 },
    ],
  });
  expect(bodyOf(await admin.get(`/deals/${deal.id}`))).toEqual(deal);
  const dearer = await admin.send("PATCH", `/products/${loom.id}`, { unitPrice: inr("1600.00") });
  expect(dearer).toMatchObject({ status: 200 });
  // what was agreed stays
  expect(await admin.get(`/deals/${deal.id}`)).toMatchObject({
    body: { amount: inr("4791.52"), version: 1 },
  });
  await admin.send("PATCH", `/products/${loom.id}`, { unitPrice: inr("1500.00") });
});

test("line items are given whole: one with its id stays the same, and what was shown may be sent back", async () => {
  const deal = await makeDeal({ lineItems: [{ productId: loom.id }, { productId: loom.id, quantity: 2 }] });
  const [first, second] = itemsOf(deal);
  expect(deal).toMatchObject({ amount: inr("4500.00") });
  const same = await change(deal, { lineItems: deal.lineItems, amount: deal.amount });
  expect(same).toMatchObject({ status: 200, body: { version: 1 } });
  const fewer = await change(deal, { lineItems: [{ id: second?.id, quantity: 5 }] });
  expect(fewer).toMatchObject({
    body: { amount: inr("7500.00"), lineItems: [{ id: second?.id, name: "Loom", quantity: 5 }], version: 2 },
  });
  const [told] = listOf(await admin.get(`/deals/${deal.id}/history`));
  expect(told).toMatchObject({ changes: { amount: [inr("4500.00"), inr("7500.00")] } });
  const back = await admin.post(`/deals/${deal.id}/revert`, { version: 1 });
  expect(back).toMatchObject({ body: { amount: inr("4500.00"), lineItems: [{ id: first?.id }, {}] } });
  // without any, the amount is whatever somebody says
  const none = await change(deal, { lineItems: [], amount: inr("10.00") });
  expect(none).toMatchObject({ status: 200, body: { amount: inr("10.00"), lineItems: [] } });
});

test.each([
  ["neither a price nor a product that has one", [{ name: "a" }], "lineItems.0.unitPrice", "required"],
  [
    "a second currency",
    [
      { name: "a", unitPrice: inr("1") },
      { name: "b", unitPrice: { amount: "1", currency: "USD" } },
    ],
    "lineItems.1.unitPrice.currency",
    "another_currency",
  ],
  [
    "more digits than quantities have",
    [{ name: "a", unitPrice: inr("1"), quantity: 0.0001 }],
    "lineItems.0.quantity",
    "too_precise",
  ],
  [
    "a discount over the price",
    [{ name: "a", unitPrice: inr("1"), discount: 101 }],
    "lineItems.0.discount",
    "too_big",
  ],
  [
    "a sum that is no money any more",
    [{ name: "a", unitPrice: inr("9999999999999999.99"), quantity: 2 }],
    "lineItems",
    "too_large",
  ],
  [
    "a product that is none",
    [{ productId: "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f", name: "a", unitPrice: inr("1") }],
    "lineItems.0.productId",
    "not_found",
  ],
  [
    "one id twice",
    [
      { id: "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f", name: "a", unitPrice: inr("1") },
      { id: "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f", name: "b", unitPrice: inr("1") },
    ],
    "lineItems.1.id",
    "duplicate",
  ],
])("line items with %s are refused with the reason", async (_what, lineItems, path, code) => {
  const answer = await admin.post("/deals", { name: "Bad", lineItems });
  expect(answer).toMatchObject({ status: 422, body: { errors: [{ path, code }] } });
});

test("an amount that is not the sum is refused, and says what the sum is", async () => {
  const wrong = await admin.post("/deals", {
    ...{ name: "Bad", amount: inr("1"), lineItems: [{ productId: loom.id }] },
  });
  const refusal = { path: "amount", code: "not_the_sum", allowed: ["1500.00 INR"] };
  expect(wrong).toMatchObject({ status: 422, body: { errors: [refusal] } });
  const deal = await makeDeal({ amount: inr("1500.00"), lineItems: [{ productId: loom.id }] });
  expect(await change(deal, { amount: inr("2.00") })).toMatchObject({
    status: 422,
    body: { errors: [refusal] },
  });
  expect(await change(deal, { amount: null })).toMatchObject({
    status: 200,
    body: { amount: inr("1500.00") },
  });
  const bulk = await admin.post("/deals/bulk", {
    items: [
      { name: "Good", lineItems: [{ productId: loom.id }] },
      { name: "Bad", lineItems: [{ name: "x" }] },
    ],
  });
  expect(bulk).toMatchObject({
    body: {
      results: [{ status: 201 }, { status: 422, error: { errors: [{ path: "lineItems.0.unitPrice" }] } }],
    },
  });
});

test("money of the largest size is kept exactly", async () => {
  const large = inr("9999999999999999.99");
  expect(await makeDeal({ amount: large })).toMatchObject({ amount: large });
  const deal = await makeDeal({
    lineItems: [
      { name: "a", unitPrice: inr("9999999999999999.98") },
      { name: "b", unitPrice: inr("0.01") },
    ],
  });
  expect(deal).toMatchObject({ amount: large });
  expect(await admin.post("/deals", { name: "x", amount: inr("99999999999999999") })).toMatchObject({
    status: 422,
    body: { errors: [{ path: "amount.amount" }] },
  });
});

test("deals are listed by the product that they sell, which follows a merge of products and comes back", async () => {
  const [kept, gone] = [
    await made(admin, "/products", { name: "Kept" }),
    await made(admin, "/products", { name: "Gone", unitPrice: inr("7.00") }),
  ];
  const deal = await makeDeal({
    lineItems: [
      { productId: gone.id },
      { productId: gone.id, quantity: 2 },
      { productId: kept.id, unitPrice: inr("1.00") },
    ],
  });
  const sold = async (id: string) =>
    listOf(await admin.get(`/deals?filter[lineItems.productId]=${id}`)).map((one) => one.id);
  expect(await sold(gone.id)).toEqual([deal.id]);
  const merge = bodyOf(await admin.post(`/products/${kept.id}/merge`, { loserIds: [gone.id] }));
  const productsOf = async () =>
    itemsOf(bodyOf(await admin.get(`/deals/${deal.id}`))).map(({ productId }) => productId);
  expect(await productsOf()).toEqual([kept.id, kept.id, kept.id]);
  expect(await sold(gone.id)).toEqual([]);
  expect(await admin.post(`/merges/${String(merge.mergeId)}/undo`)).toMatchObject({ status: 200 });
  expect(await productsOf()).toEqual([gone.id, gone.id, kept.id]);
});

test("of two deals that become one the winner's line items stay, or it gets the other's with their sum", async () => {
  const [one, other, bare] = [
    await makeDeal({ lineItems: [{ productId: loom.id }] }),
    await makeDeal({ lineItems: [{ productId: loom.id, quantity: 2 }] }),
    await makeDeal({ amount: inr("5.00") }),
  ];
  expect(await admin.post(`/deals/${one.id}/merge`, { loserIds: [other.id] })).toMatchObject({
    body: { record: { amount: inr("1500.00"), lineItems: [{ quantity: 1 }] } },
  });
  const merge = await admin.post(`/deals/${bare.id}/merge`, { loserIds: [one.id] });
  expect(merge).toMatchObject({ body: { record: { amount: inr("1500.00"), lineItems: [{ quantity: 1 }] } } });
  await admin.post(`/merges/${String(bodyOf(merge).mergeId)}/undo`);
  expect(await admin.get(`/deals/${bare.id}`)).toMatchObject({
    body: { amount: inr("5.00"), lineItems: [] },
  });
});

test("several contacts have roles in a deal; the first is its own, and all follow a merge of contacts", async () => {
  const person = (firstName: string) => made(admin, "/contacts", { firstName });
  const [asha, ravi, mina] = [await person("Asha"), await person("Ravi"), await person("Mina")];
  const deal = await makeDeal({
    contacts: [{ contactId: asha.id, role: "decides" }, { contactId: ravi.id }],
  });
  expect(deal).toMatchObject({
    contactId: asha.id,
    contacts: [
      { contactId: asha.id, role: "decides" },
      { contactId: ravi.id, role: null },
    ],
  });
  expect(await change(deal, { contactId: ravi.id })).toMatchObject({
    body: { contacts: [{ contactId: ravi.id }, { contactId: asha.id, role: "decides" }] },
  });
  const theirs = async (id: string) =>
    listOf(await admin.get(`/deals?filter[contacts.contactId]=${id}`)).map((one) => one.id);
  expect([await theirs(asha.id), await theirs(ravi.id)]).toEqual([[deal.id], [deal.id]]);
  const merge = bodyOf(await admin.post(`/contacts/${mina.id}/merge`, { loserIds: [asha.id] }));
  expect(await admin.get(`/deals/${deal.id}`)).toMatchObject({
    body: { contactId: ravi.id, contacts: [{}, { contactId: mina.id, role: "decides" }] },
  });
  await admin.post(`/merges/${String(merge.mergeId)}/undo`);
  expect(await theirs(asha.id)).toEqual([deal.id]);
  const foreign = await made(stranger, "/contacts", { firstName: "Theirs" });
  expect(await change(deal, { contacts: [{ contactId: foreign.id }] })).toMatchObject({
    status: 422,
    body: { errors: [{ path: "contacts.0.contactId", code: "not_found" }] },
  });
});
