import { company, type CompanyRow } from "../../entities/company.ts";
import { contact, type ContactRow } from "../../entities/contact.ts";
import { deal, type DealRow } from "../../entities/deal.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { changesBetween, composeRecord } from "../../mixins/records/writing/changes.ts";
import { about } from "../../mixins/records/writing/desk.ts";
import { CallFields } from "../../mixins/records/custom/of-call.ts";
import type { Apart } from "../../mixins/records/custom/values-apart.ts";
import { withSealed } from "../../mixins/records/handlers/crud.ts";
import { newOwn } from "../../mixins/records/writing/input.ts";
import type { AnyRow } from "../../mixins/records/kind/kind.ts";
import { mergedRow } from "../../mixins/records/merging/merging.ts";
import type { Room } from "../../mixins/records/writing/quota.ts";
import { storeOf } from "../../mixins/records/writing/store.ts";
import { requireStage } from "../../mixins/sales/pipelines.ts";
import { entered, requireFieldsOf, type Pipelines } from "../../mixins/sales/stages.ts";
import { contactsByIdentity } from "../contact-identities.ts";
import type { Ctx } from "../contracts.ts";
import { dealName, furthestStage, stageAfterConversion } from "./convert.rules.ts";
import { lead as leadKind, type LeadRow } from "../../entities/lead.ts";
import type { ConvertResult } from "./leads.contract.ts";
import { leadAlreadyConverted, leadOvertaken } from "./leads.errors.ts";
import { leadFields, type Desk } from "./desk.ts";
import { leadStore } from "./leads.store.ts";

const companies = storeOf<CompanyRow & AnyRow>(company);
const contacts = storeOf<ContactRow & AnyRow>(contact);
const deals = storeOf<DealRow>(deal);

type ConvertContext = Ctx<"leads.convert">;

/**
 * Makes a contact, a company and, if asked, a deal of a lead. The lead is locked first, so of two at once one
 * converts it and the other is told so (409 LEAD_ALREADY_CONVERTED).
 */
export async function convert(ctx: ConvertContext, desk: Desk): Promise<ConvertResult> {
  const { principal, tx } = ctx.locals;
  const fields = {
    lead: await leadFields(ctx, desk),
    contact: await CallFields.of(ctx, desk, contact),
    company: await CallFields.of(ctx, desk, company),
    deal: await CallFields.of(ctx, desk, deal),
  };
  const seen = await prepareUsers(ctx, desk, fields);
  const pipelines = ctx.params.createDeal ? await desk.pipelines.of(principal.organizationId) : undefined;
  const rooms = {
    contact: await desk.quota.of(tx.organizationId, contact),
    company: await desk.quota.of(tx.organizationId, company),
    deal: await desk.quota.of(tx.organizationId, deal),
  };
  const before = await leadStore.lock(tx, principal, ctx.params.id);
  if (before.status === "converted") throw leadAlreadyConverted();
  if (seen !== undefined && seen !== before.version) throw leadOvertaken();
  await lockNames(tx, before);
  const madeCompany =
    before.company_name === null
      ? undefined
      : await findOrMakeCompany(ctx, before, before.company_name, rooms.company);
  const companyId = madeCompany?.id ?? null;
  const madeContact = await findOrMakeContact(ctx, before, companyId, fields, rooms.contact);
  const madeDeal =
    pipelines
    && (await makeDeal(ctx, before, {
      contactId: madeContact.id,
      companyId,
      pipelines,
      fields: fields.deal,
      room: rooms.deal,
    }));

  const now = tx.now.toISOString();
  const row: LeadRow = {
    ...before,
    status: "converted",
    converted_at: now,
    updated_at: now,
    version: before.version + 1,
  };
  leadStore.update(tx, [row]);
  about(tx, {
    ...{ kind: leadKind, verb: "converted", row, actorId: principal.userId, fields: fields.lead },
    changes: changesBetween(leadKind, before, row),
    more: { contactId: madeContact.id, companyId, dealId: madeDeal?.id ?? null },
  });
  return {
    contact: await fields.contact.showOne(tx, contact.show(madeContact)),
    ...(madeCompany && { company: await fields.company.showOne(tx, company.show(madeCompany)) }),
    ...(madeDeal && { deal: await fields.deal.showOne(tx, deal.show(madeDeal)) }),
  };
}

/**
 * Looks, before the transaction, for the users whom custom fields name, where those of contacts may name any; answers the version of the
 * lead that it has seen.
 */
async function prepareUsers(
  ctx: ConvertContext,
  desk: Desk,
  fields: { lead: CallFields; contact: CallFields },
): Promise<number | undefined> {
  const { principal, tx } = ctx.locals;
  if (!fields.contact.mayNameUsers) return undefined;
  const seen = await leadStore.get(desk.database.reader(tx.organizationId), principal, ctx.params.id);
  await fields.contact.prepare(ctx, [{ customFields: seen.custom_fields }]);
  return seen.version;
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

async function findOrMakeCompany(
  ctx: ConvertContext,
  lead: LeadRow,
  name: string,
  room: Room,
): Promise<CompanyRow> {
  const { principal, tx } = ctx.locals;
  const [found] = await tx.query<CompanyRow & AnyRow>({
    text: `SELECT ${company.columns.join(", ")} FROM companies
      WHERE lower(name) = lower($1) AND deleted_at IS NULL ORDER BY created_at LIMIT 1`,
    values: [name],
  });
  if (found) return found;
  room.take(1);
  const row: CompanyRow & AnyRow = composeRecord(company, { name, assignedTo: lead.assigned_to }, newOwn(tx));
  await companies.insertFree(tx, [row]); // now: the contact refers to it
  about(tx, { kind: company, verb: "created", row, actorId: principal.userId });
  return row;
}

/** One that the principal may not see does not exist for it, and must not show in the answer. */
async function lockContact(
  ctx: ConvertContext,
  { email, phone }: LeadRow,
): Promise<(ContactRow & AnyRow) | undefined> {
  const { principal, tx } = ctx.locals;
  const options = { principal, lock: true };
  const byEmail =
    email === null ? [] : await contactsByIdentity(tx, [{ kind: "email", value: email }], options);
  if (byEmail[0] || phone === null) return byEmail[0]?.row;
  // a phone alone is no person, but whoever has it for their WhatsApp alone is one; not against another email
  const byPhone = await contactsByIdentity(tx, [{ kind: "phone", value: phone }], options);
  return byPhone.find(({ row, isAlone }) => isAlone && (email === null || row.email === null))?.row;
}

/** The contact who is known by the lead's email or has its phone for their WhatsApp, moved forward, with what the lead has and it lacks; without one, a new contact. */
async function findOrMakeContact(
  ctx: ConvertContext,
  lead: LeadRow,
  companyId: string | null,
  fields: { lead: CallFields; contact: CallFields },
  room: Room,
): Promise<ContactRow> {
  const { principal, tx } = ctx.locals;
  const stage = stageAfterConversion(ctx.params.createDeal);
  const known = await lockContact(ctx, lead);
  // the contact is a record of its own, with all that the lead has and that fits what is defined of contacts
  const { input, apart } = fields.contact.acceptFitting({
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
    customFields: fields.lead.hide({ customFields: lead.custom_fields }).customFields,
    consent: lead.consent,
  });
  const row: ContactRow & AnyRow = composeRecord(contact, input, newOwn(tx));
  if (known) return complete(ctx, known, { row, apart }, fields.contact);
  room.take(1);
  await contacts.insertFree(tx, [row]); // now: the deal refers to it
  fields.contact.store(tx, [{ id: row.id, apart }]);
  about(tx, { kind: contact, verb: "created", row, actorId: principal.userId, fields: fields.contact });
  return row;
}

/**
 * A contact with what it lacks of the one that a lead would have become, as if that were merged into it.
 * @throws 422 when it would be larger than a record may be
 */
async function complete(
  { locals: { principal, tx } }: ConvertContext,
  known: ContactRow & AnyRow,
  ofLead: { row: ContactRow & AnyRow; apart: Apart },
  fields: CallFields,
): Promise<ContactRow> {
  const now = tx.now.toISOString();
  const row: ContactRow & AnyRow = {
    ...mergedRow(contact, known, [ofLead.row]),
    lifecycle_stage: furthestStage(known.lifecycle_stage, ofLead.row.lifecycle_stage),
    version: known.version + 1,
    updated_at: now,
  };
  const given = fields.sealedIn(ofLead.apart);
  const { sensitive = [] } = given.length === 0 ? {} : await fields.showOne(tx, contact.show(known));
  const sealed = given.filter((key) => !sensitive.includes(key));
  const changes = changesBetween(contact, known, row);
  const differs = Object.keys(changes).length > 0;
  const change = withSealed(known, differs ? { row, changes } : null, sealed, now);
  if (!change) return known;
  const added = sealed.map((key) => [key, ofLead.apart.get(key) ?? null] as const);
  contacts.update(tx, [change.row]);
  fields.store(tx, [{ id: known.id, apart: new Map([...fields.marksOf(change.row), ...added]) }]);
  about(tx, { kind: contact, verb: "updated", actorId: principal.userId, ...change, fields });
  return change.row;
}

/** The lead's deal, in the first stage of the pipeline. @throws 422 for a pipeline that there is not, or whose stage asks for more */
async function makeDeal(
  ctx: ConvertContext,
  lead: LeadRow,
  of: { contactId: string; companyId: string | null; pipelines: Pipelines; fields: CallFields; room: Room },
): Promise<DealRow> {
  const { principal, tx } = ctx.locals;
  const { amount = null, pipelineId } = ctx.params;
  const { pipeline, stage } = of.pipelines.target({ pipelineId });
  const { contactId, companyId } = of;
  const { input, apart } = of.fields.accept(
    { name: dealName(lead), amount, contactId, companyId, ownerId: lead.assigned_to ?? principal.userId },
    { isNew: true },
  );
  const own = newOwn(tx);
  const row = entered(composeRecord<DealRow>(deal, input, own), {
    pipelineId: pipeline.id,
    stage,
    now: own.now,
  });
  requireFieldsOf(deal, row, stage);
  await requireStage(tx, row);
  of.room.take(1);
  deals.insert(tx, row);
  of.fields.store(tx, [{ id: row.id, apart }]);
  about(tx, { kind: deal, verb: "created", row, actorId: principal.userId, fields: of.fields });
  return row;
}
