import { v7 as uuidv7 } from "uuid";
import { Company, Contact, Deal, Pipeline } from "../../entities/sales.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { requireFits } from "../../mixins/records/record-limits.ts";
import { Values } from "../../mixins/records/listing.ts";
import { visibleRows } from "../../mixins/access/visibility.ts";
import { record, type Ctx } from "../contracts.ts";
import {
  dealName,
  defaultStages,
  firstOpenStage,
  furthestStage,
  stageAfterConversion,
} from "./convert.rules.ts";
import type { LeadRow } from "./lead-row.ts";
import type { ConvertResult } from "./leads.contract.ts";
import { leadAlreadyConverted, pipelineWithoutStage, unknownPipeline } from "./leads.errors.ts";
import { audienceOf } from "./leads.events.ts";
import { lockLead, updateLeads } from "./leads.repository.ts";
import { contentOf } from "./leads.rules.ts";
import { leadView } from "./leads.view.ts";

type ConvertContext = Ctx<"leads.convert">;

/**
 * Makes a contact, a company and, if asked, a deal of a lead. The lead is locked first, so of two at once one
 * converts it and the other is told so (409 LEAD_ALREADY_CONVERTED).
 */
export async function convert(ctx: ConvertContext): Promise<ConvertResult> {
  const { actor, tx } = ctx.locals;
  const before = await lockLead(tx, actor, ctx.params.id);
  if (before.status === "converted") throw leadAlreadyConverted();
  await lockNames(tx, before);
  const company =
    before.company_name === null ? undefined : await findOrMakeCompany(ctx, before, before.company_name);
  const contact = await findOrMakeContact(ctx, before, company?.id ?? null);
  const deal = ctx.params.createDeal
    ? await makeDeal(ctx, before, contact.id, company?.id ?? null)
    : undefined;

  const now = tx.now.toISOString();
  const row: LeadRow = {
    ...before,
    status: "converted",
    converted_at: now,
    updated_at: now,
    version: before.version + 1,
  };
  updateLeads(tx, [row]);
  record(tx, {
    type: "lead.converted",
    entity: { kind: "lead", id: row.id, version: row.version },
    actorId: actor.userId,
    audience: audienceOf(row.assigned_to),
    data: {
      lead: leadView(row),
      contactId: contact.id,
      companyId: company?.id ?? null,
      dealId: deal?.id ?? null,
    },
  });
  return {
    contact: contactView(contact),
    ...(company && { company: companyView(company) }),
    ...(deal && { deal: dealView(deal) }),
  };
}

/**
 * Locks the names of what may have to be made, until the end of the transaction: two leads of one company, or of
 * one person, must not make it twice. All take them in this order, so nobody waits in a circle.
 */
async function lockNames(tx: UnitOfWork, lead: LeadRow): Promise<void> {
  const names = [
    ...(lead.email === null ? [] : [`contact ${lead.email}`]),
    ...(lead.company_name === null ? [] : [`company ${lead.company_name.toLowerCase()}`]),
  ];
  await Promise.all(
    names.map((name) =>
      tx.execute({
        text: "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
        values: [`${tx.organizationId} ${name}`],
      }),
    ),
  );
}

async function findOrMakeCompany(ctx: ConvertContext, lead: LeadRow, name: string): Promise<Company> {
  const { actor, tx } = ctx.locals;
  const [found] = await tx.query<{ id: string }>({
    text: "SELECT id FROM companies WHERE lower(name) = lower($1) AND deleted_at IS NULL ORDER BY created_at LIMIT 1",
    values: [name],
  });
  if (found) return tx.em.findOneOrFail(Company, { id: found.id });
  const company = tx.em.create(Company, {
    ...newRecord(tx),
    name,
    assignedTo: lead.assigned_to,
  });
  await tx.em.flush(); // the contact refers to it
  record(tx, {
    type: "company.created",
    entity: { kind: "company", id: company.id, version: 1 },
    actorId: actor.userId,
    audience: audienceOf(lead.assigned_to),
    data: { companyId: company.id, name },
  });
  return company;
}

/** One that the actor may not see does not exist for it, and must not show in the answer. */
async function findContact(ctx: ConvertContext, email: string): Promise<Contact | undefined> {
  const { actor, tx } = ctx.locals;
  const values = new Values();
  const conditions = [`email = ${values.add(email)}`, "deleted_at IS NULL", ...visibleRows(actor, values)];
  const [found] = await tx.query<{ id: string }>({
    text: `SELECT id FROM contacts WHERE ${conditions.join(" AND ")} ORDER BY created_at LIMIT 1`,
    values: values.list,
  });
  return found && tx.em.findOneOrFail(Contact, { id: found.id });
}

/** The contact with the lead's email, moved forward; without one, a new contact. */
async function findOrMakeContact(
  ctx: ConvertContext,
  lead: LeadRow,
  companyId: string | null,
): Promise<Contact> {
  const { actor, tx } = ctx.locals;
  const stage = stageAfterConversion(ctx.params.createDeal);
  const known = lead.email === null ? undefined : await findContact(ctx, lead.email);
  if (known) {
    known.lifecycleStage = furthestStage(known.lifecycleStage, stage);
    known.companyId ??= companyId;
    known.leadId ??= lead.id;
  }
  // the contact is a record of its own, with all that the lead has
  if (!known) requireFits(contentOf(lead));
  const contact =
    known
    ?? tx.em.create(Contact, {
      ...newRecord(tx),
      firstName: lead.first_name,
      lastName: lead.last_name,
      email: lead.email,
      phone: lead.phone,
      title: lead.title,
      lifecycleStage: stage,
      companyId,
      leadId: lead.id,
      assignedTo: lead.assigned_to,
      tags: lead.tags,
      customFields: lead.custom_fields,
      consent: lead.consent,
    });
  await tx.em.flush(); // the deal refers to it, and the event to its version
  record(tx, {
    type: known ? "contact.updated" : "contact.created",
    entity: { kind: "contact", id: contact.id, version: contact.version },
    actorId: actor.userId,
    audience: audienceOf(contact.assignedTo),
    data: { contactId: contact.id, leadId: contact.leadId ?? null },
  });
  return contact;
}

async function makeDeal(
  ctx: ConvertContext,
  lead: LeadRow,
  contactId: string,
  companyId: string | null,
): Promise<Deal> {
  const { actor, tx } = ctx.locals;
  const { amount, pipelineId } = ctx.params;
  const pipeline =
    pipelineId === undefined
      ? await getDefaultPipeline(tx)
      : await tx.em.findOne(Pipeline, { id: pipelineId });
  if (!pipeline) throw unknownPipeline();
  const stage = firstOpenStage(pipeline.stages);
  if (!stage) throw pipelineWithoutStage();
  const deal = tx.em.create(Deal, {
    ...newRecord(tx),
    name: dealName(lead),
    amount: amount?.amount ?? null,
    currency: amount?.currency ?? null,
    pipelineId: pipeline.id,
    stageId: stage.id,
    ownerId: lead.assigned_to ?? actor.userId,
    contactId,
    companyId,
    status: "open",
  });
  await tx.em.flush();
  record(tx, {
    type: "deal.created",
    entity: { kind: "deal", id: deal.id, version: 1 },
    actorId: actor.userId,
    audience: audienceOf(deal.ownerId),
    data: { dealId: deal.id, name: deal.name, pipelineId: deal.pipelineId, stageId: deal.stageId },
  });
  return deal;
}

/** The default pipeline, made at its first use; of two who make it at once one does. */
async function getDefaultPipeline(tx: UnitOfWork): Promise<Pipeline> {
  const known = await tx.em.findOne(Pipeline, { isDefault: true });
  if (known) return known;
  const stages = defaultStages.map((stage, position) => ({ id: uuidv7(), ...stage, position }));
  await tx.execute({
    text: `INSERT INTO pipelines (organization_id, id, name, stages, is_default, created_at, updated_at)
      VALUES ($1, $2, 'Sales', $3, true, $4, $4) ON CONFLICT (organization_id) WHERE is_default DO NOTHING`,
    values: [tx.organizationId, uuidv7(), JSON.stringify(stages), tx.now.toISOString()],
  });
  return tx.em.findOneOrFail(Pipeline, { isDefault: true });
}

const newRecord = ({ organizationId, now }: UnitOfWork) => ({
  id: uuidv7(),
  organizationId,
  createdAt: now,
  updatedAt: now,
});

const contactView = (contact: Contact): ConvertResult["contact"] => ({
  id: contact.id,
  firstName: contact.firstName ?? null,
  lastName: contact.lastName ?? null,
  email: contact.email ?? null,
  phone: contact.phone ?? null,
  title: contact.title ?? null,
  lifecycleStage: contact.lifecycleStage,
  companyId: contact.companyId ?? null,
  leadId: contact.leadId ?? null,
  assignedTo: contact.assignedTo ?? null,
  createdAt: contact.createdAt.toISOString(),
  version: contact.version,
});

const companyView = (company: Company): ConvertResult["company"] => ({
  id: company.id,
  name: company.name,
  domain: company.domain ?? null,
  version: company.version,
});

const dealView = (deal: Deal): ConvertResult["deal"] => ({
  id: deal.id,
  name: deal.name,
  amount: deal.amount && deal.currency ? { amount: deal.amount, currency: deal.currency } : null,
  pipelineId: deal.pipelineId,
  stageId: deal.stageId,
  ownerId: deal.ownerId ?? null,
  contactId: deal.contactId ?? null,
  companyId: deal.companyId ?? null,
  status: deal.status,
  version: deal.version,
});
