import { z } from "zod";
import { action, defineContract } from "../../mixins/contract.ts";
import { record, type Ctx, type HandlersOf } from "../../services/contracts.ts";

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
