import { z } from "zod";
import { actor } from "../../mixins/actors/actor-contract.ts";
import type { ActorHandlersOf } from "../../mixins/actors/actor-service.ts";
import { action, defineContract } from "../../mixins/contract/contract.ts";
import { personalData } from "../../mixins/privacy/personal-data.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { job } from "../../mixins/jobs/job-spec.ts";
import { listener } from "../../mixins/listeners/listener-spec.ts";
import {
  actorOf,
  enqueue,
  record,
  type Ctx,
  type HandlersOf,
  type JobHandlersOf,
  type ListenerHandlersOf,
  type PersonalDataHandlersOf,
} from "../../services/contracts.ts";

// Type tests: `npm run types` fails when one of these lines stops being an error, or starts to be one.

export async function calls(ctx: Ctx<"leads.get">): Promise<void> {
  const id: string = ctx.params.id;
  const lead = await ctx.call("leads.get", { id });
  const score: number = lead.score;
  await ctx.call("leads.list", {}); // defaults are optional to callers
  // @ts-expect-error unknown action
  await ctx.call("leads.fetch", { id });
  // @ts-expect-error wrong parameters
  await ctx.call("leads.get", { leadId: id });
  // @ts-expect-error a field the result does not have
  void lead.password;
  const about = { entity: { kind: "lead", id, version: 1 }, actorId: null, audience: null };
  // @ts-expect-error unknown event
  record(ctx.locals.tx, { ...about, type: "lead.vanished", data: {} });
  // @ts-expect-error wrong payload
  record(ctx.locals.tx, { ...about, type: "lead.created", data: { id } });
  void score;
}

export const thingsContract = defineContract("things", {
  actions: {
    weigh: action({
      summary: "Weighs a thing",
      params: z.strictObject({ id: z.string(), unit: z.string().default("kg") }),
      returns: z.strictObject({ weight: z.number() }),
      permission: "things:read",
    }),
  },
  events: {},
});
export const handlers: HandlersOf<typeof thingsContract> = {
  weigh: (ctx) => {
    const unit: string = ctx.params.unit; // the default is applied
    return Promise.resolve({ weight: unit.length });
  },
};
// @ts-expect-error a handler is missing
export const missing: HandlersOf<typeof thingsContract> = {};
export const wrong: HandlersOf<typeof thingsContract> = {
  // @ts-expect-error wrong result
  weigh: () => Promise.resolve({ weight: "heavy" }),
};

export function jobs(ctx: Ctx<"leads.get">): void {
  const { tx } = ctx.locals;
  enqueue(tx, "leads.rescore", { version: 1 }, { key: "k", delayMs: 1000 }); // defaults are optional to whoever adds
  // @ts-expect-error unknown job
  enqueue(tx, "leads.rescale", { version: 1 });
  // @ts-expect-error wrong payload
  enqueue(tx, "leads.rescore", { version: "one" });
}

export const watchedContract = defineContract("watched", {
  actions: {},
  events: {},
  jobs: { count: job({ summary: "Counts", payload: z.strictObject({ from: z.number().default(0) }) }) },
  listeners: {
    greet: listener({ summary: "Hears of new leads", on: ["lead.created"] }),
    log: listener({ summary: "Hears all", on: ["*"] }),
  },
});
export const bodies: JobHandlersOf<typeof watchedContract> = {
  count: (ctx) => {
    const from: number = ctx.params.from; // the default is applied
    return Promise.resolve(void from);
  },
};
export const reactions: ListenerHandlersOf<typeof watchedContract> = {
  greet: (_ctx, event) => {
    const type: "lead.created" = event.type;
    const name: string | null = event.data.record.firstName;
    // @ts-expect-error a field the event does not have
    void event.data.contactId;
    return Promise.resolve(void [type, name]);
  },
  log: (_ctx, event) => {
    if (event.type === "lead.converted") void event.data.contactId;
    // @ts-expect-error not every event has it
    void event.data.contactId;
    return Promise.resolve();
  },
};
// @ts-expect-error a listener has no body
export const deaf: ListenerHandlersOf<typeof watchedContract> = { log: () => Promise.resolve() };

export const diaryContract = defineContract("diary", {
  actions: {},
  events: {},
  personalData: {
    notes: personalData({ summary: "Notes", tables: ["notes"] }),
    old: personalData({ summary: "Old", tables: ["old"], retention: { default: 90, least: 30, most: 900 } }),
  },
});
type Diary = PersonalDataHandlersOf<typeof diaryContract>;
declare const notes: Diary["notes"];
// @ts-expect-error what has a retention must expire too
export const undying: Diary = { notes, old: notes };
// @ts-expect-error a kind has no handlers
export const forgotten: Pick<Diary, "notes"> = {};

export async function messages(ctx: Ctx<"leads.get">): Promise<void> {
  const router = actorOf(ctx, "leads.router", ctx.params.id);
  const users: string[] | null = await router.take({ leadIds: [] }); // defaults are optional to senders
  await router.take({ leadIds: [] }, { messageId: "m", timeoutMs: 1000 });
  // @ts-expect-error unknown actor
  actorOf(ctx, "leads.scorer", ctx.params.id);
  // @ts-expect-error unknown message
  void router.give;
  // @ts-expect-error wrong parameters
  await router.take({ count: 1 });
  // @ts-expect-error a result it does not have
  const count: number = await router.take({ leadIds: [] });
  void [users, count];
}

export const boxesContract = defineContract("boxes", {
  actions: {},
  events: {},
  actors: {
    box: actor({
      state: z.strictObject({ things: z.array(z.string()).default([]) }),
      messages: {
        put: {
          params: z.strictObject({ thing: z.string(), times: z.number().default(1) }),
          returns: z.number(),
        },
        clear: { params: z.strictObject({}), returns: z.null() },
      },
    }),
  },
});
export const boxes: ActorHandlersOf<typeof boxesContract> = {
  box: {
    initial: () => ({}),
    messages: {
      put(turn, { thing, times }) {
        const repeated: number = times; // the default is applied
        turn.state.things.push(thing);
        turn.remind("clear", turn.now, "clear", {});
        // @ts-expect-error the actor has no such message
        turn.remind("clear", turn.now, "empty", {});
        // @ts-expect-error wrong parameters of the message
        turn.timer("again", 1000, "put", {});
        // @ts-expect-error the state has no such field
        turn.state.size = repeated;
        return turn.state.things.length;
      },
      clear: () => null,
    },
  },
};
export const badBoxes: ActorHandlersOf<typeof boxesContract> = {
  box: {
    // @ts-expect-error wrong state
    initial: () => ({ things: [1] }),
    // @ts-expect-error a message without its handler
    messages: { put: () => 1 },
  },
};
export const boxesService = (runtime: Runtime) => [
  createService(boxesContract, {}, runtime, { actors: boxes }),
  // @ts-expect-error handlers of other actors
  createService(boxesContract, {}, runtime, { actors: { chest: boxes.box } }),
];
