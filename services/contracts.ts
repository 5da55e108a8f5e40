import type { ActionsOf, EventsOf, Handlers, ParamsOut, ResultOf, TypedContext } from "../mixins/contract.ts";
import type { RecordedEvent, UnitOfWork } from "../mixins/database/unit-of-work.ts";
import type { z } from "zod";
import { eventsContract } from "./events/events.contract.ts";
import { identityContract } from "./identity/identity.contract.ts";
import { importsContract } from "./imports/imports.contract.ts";
import { leadsContract } from "./leads/leads.contract.ts";

/** Every contract of the system: routes, OpenAPI, permissions, types and generated tests derive from this list. */
export const contracts = [identityContract, leadsContract, importsContract, eventsContract] as const;

type Contracts = (typeof contracts)[number];
export type Actions = ActionsOf<Contracts>;
export type Events = EventsOf<Contracts>;
export type ActionName = keyof Actions & string;

/** The context of one action: `Ctx<"leads.create">`. */
export type Ctx<N extends ActionName> = TypedContext<Actions, ParamsOut<Actions[N]>>;
export type Result<N extends ActionName> = ResultOf<Actions[N]>;
export type HandlersOf<C> = Handlers<C, Actions>;

/** Appends a typed event to the feed, in the unit of work that changes the entity. */
export function record<T extends keyof Events & string>(
  tx: UnitOfWork,
  event: Omit<RecordedEvent, "type" | "data"> & { type: T; data: z.input<Events[T]> },
): void {
  tx.record(event);
}
