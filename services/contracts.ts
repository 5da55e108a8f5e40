import type {
  ActionsOf,
  ActorsOf,
  EventsOf,
  Handlers,
  JobHandlers,
  JobsOf,
  ListenerHandlers,
  ParamsOut,
  PersonalDataHandlers,
  ResultOf,
  TypedContext,
} from "../mixins/contract/contract.ts";
import { kinds } from "../entities/kinds.ts";
import { declareKinds } from "../mixins/records/kind/kinds.ts";
import type { ActorRef } from "../mixins/actors/actor-contract.ts";
import { actorRef, type Sender } from "../mixins/actors/actor-ref.ts";
import type { RecordedEvent, UnitOfWork } from "../mixins/database/unit-of-work.ts";
import type { NewJob } from "../mixins/jobs/job-spec.ts";
import type { z } from "zod";
import { activitiesContract } from "./activities/activities.contract.ts";
import { analyticsContract } from "./analytics/analytics.contract.ts";
import { callQueuesContract } from "./call-queues/call-queues.contract.ts";
import { callsContract } from "./calls/calls.contract.ts";
import { companiesContract } from "./companies/companies.contract.ts";
import { contactsContract } from "./contacts/contacts.contract.ts";
import { customFieldsContract } from "./custom-fields/custom-fields.contract.ts";
import { dealsContract } from "./deals/deals.contract.ts";
import { eventsContract } from "./events/events.contract.ts";
import { identityContract } from "./identity/identity.contract.ts";
import { importsContract } from "./imports/imports.contract.ts";
import { jobsContract } from "./jobs/jobs.contract.ts";
import { leadsContract } from "./leads/leads.contract.ts";
import { listsContract } from "./lists/lists.contract.ts";
import { pipelinesContract } from "./pipelines/pipelines.contract.ts";
import { productsContract } from "./products/products.contract.ts";
import { ratesContract } from "./rates/rates.contract.ts";
import { reportsContract } from "./reports/reports.contract.ts";
import { recordsContract } from "./records/records.contract.ts";
import { searchContract } from "./search/search.contract.ts";
import { teamsContract } from "./teams/teams.contract.ts";
import { privacyContract } from "./privacy/privacy.contract.ts";
import { viewsContract } from "./views/views.contract.ts";

// before anything is asked of what derives from them
declareKinds(kinds.values());

/** Every contract of the system: routes, OpenAPI, permissions, types and generated tests derive from this list. */
export const contracts = [
  identityContract,
  leadsContract,
  contactsContract,
  companiesContract,
  dealsContract,
  pipelinesContract,
  productsContract,
  activitiesContract,
  ratesContract,
  reportsContract,
  callQueuesContract,
  callsContract,
  recordsContract,
  customFieldsContract,
  importsContract,
  analyticsContract,
  eventsContract,
  jobsContract,
  teamsContract,
  viewsContract,
  listsContract,
  searchContract,
  // erases what it keeps of exports last, when nothing is left that a new one could find
  privacyContract,
] as const;

type Contracts = (typeof contracts)[number];
export type Actions = ActionsOf<Contracts>;
export type Events = EventsOf<Contracts>;
export type Actors = ActorsOf<Contracts>;
export type ActionName = keyof Actions & string;
export type Jobs = JobsOf<Contracts>;
export type JobName = keyof Jobs & string;

/** The context of one action: `Ctx<"leads.create">`. */
export type Ctx<N extends ActionName> = TypedContext<Actions, ParamsOut<Actions[N]>>;
export type Result<N extends ActionName> = ResultOf<Actions[N]>;
export type HandlersOf<C> = Handlers<C, Actions>;
export type JobHandlersOf<C> = JobHandlers<C, Actions>;
export type ListenerHandlersOf<C> = ListenerHandlers<C, Actions, Events>;
export type PersonalDataHandlersOf<C> = PersonalDataHandlers<C, Actions>;
/** The context of one job: `JobCtx<"leads.rescore">`. */
export type JobCtx<N extends JobName> = TypedContext<Actions, z.output<Jobs[N]["payload"]>>;

/** Appends a typed event to the feed, in the unit of work that changes the entity. */
export function record<T extends keyof Events & string>(
  tx: UnitOfWork,
  event: Omit<RecordedEvent, "type" | "data"> & { type: T; data: z.input<Events[T]> },
): void {
  tx.record(event);
}

/** Adds a job in this unit of work: it runs if, and only if, the unit commits. */
export function enqueue<N extends JobName>(
  tx: UnitOfWork,
  task: N,
  payload: z.input<Jobs[N]["payload"]>,
  options: Pick<NewJob, "key" | "runAt" | "delayMs" | "organizationId"> = {},
): void {
  tx.enqueue({ ...options, task, payload });
}

/**
 * An actor of the caller's organization: `actorOf(ctx, "leads.router", poolId).take({ count: 1 })`.
 * @throws 500 SENT_INSIDE_TRANSACTION when the action has already sent a statement
 */
export const actorOf = <K extends keyof Actors & string>(
  ctx: Sender,
  kind: K,
  id: string,
): ActorRef<Actors[K]> => actorRef(ctx, kind, id);
