import type { ServiceSchema } from "moleculer";
import { z } from "zod";
import { actor, type ActorHandlers } from "../../mixins/actors/actor-contract.ts";
import { actorRef, type Sender } from "../../mixins/actors/actor-ref.ts";
import { action, defineContract, type ActorsOf } from "../../mixins/contract/contract.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { cronPayload, job } from "../../mixins/jobs/job-spec.ts";
import { listener } from "../../mixins/listeners/listener-spec.ts";
import { createService } from "../../mixins/contract/service.ts";
import type { ExtraService } from "../../services/node.ts";

/** A service that leaves a row for everything it is made to do, so that lost and doubled work shows. */
export const witnessContract = defineContract("witness", {
  actions: {
    append: action({
      summary: "Has a journal write a message down; answers the line it stands in",
      params: z.strictObject({ journal: z.string(), messageId: z.string() }),
      returns: z.number().int(),
      permission: "authenticated",
    }),
  },
  events: {},
  actors: {
    journal: actor({
      state: z.strictObject({ lines: z.number().int() }),
      messages: {
        append: { params: z.strictObject({ messageId: z.string() }), returns: z.number().int() },
      },
    }),
  },
  jobs: {
    receipt: job({
      summary: "Writes down that it ran for an event",
      payload: z.strictObject({ seq: z.number().int() }),
    }),
    tick: job({
      summary: "Writes down that a tick ran",
      payload: cronPayload,
      scope: "platform",
      cron: { schedule: "* * * * * *", missed: "catch_up" },
    }),
  },
  listeners: {
    ledger: listener({
      summary: "Writes down each event of a lead",
      on: ["lead.created", "lead.updated"],
    }),
    errands: listener({ summary: "Adds a job for each new lead", on: ["lead.created"] }),
  },
});

/** Its tables; none has a key that would hide a row written twice. */
export const witnessTables = `
CREATE TABLE witness_heard (
  id bigserial, organization_id uuid NOT NULL, seq bigint NOT NULL, entity_id uuid NOT NULL,
  heard_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE witness_receipts (
  organization_id uuid NOT NULL, seq bigint NOT NULL, node text NOT NULL,
  ran_at timestamptz NOT NULL DEFAULT clock_timestamp());
CREATE TABLE witness_turns (
  organization_id uuid NOT NULL, journal text NOT NULL, line integer NOT NULL, message_id text NOT NULL);
CREATE TABLE witness_ticks (
  scheduled_for timestamptz NOT NULL, node text NOT NULL, ran_at timestamptz NOT NULL DEFAULT clock_timestamp());
GRANT ALL ON witness_heard, witness_receipts, witness_turns, witness_ticks, witness_heard_id_seq TO sangam_app, sangam_platform;
`;

interface WitnessContext<P> {
  params: P;
  locals: { tx: UnitOfWork };
}
type Journal = ActorsOf<typeof witnessContract>["witness.journal"];
interface Heard {
  seq: number;
  entity: { id: string };
}

const append = (ctx: Sender & { params: { journal: string; messageId: string } }) => {
  const { journal, messageId } = ctx.params;
  return actorRef<Journal>(ctx, "witness.journal", journal).append({ messageId }, { messageId });
};

const journal: ActorHandlers<Journal> = {
  initial: () => ({ lines: 0 }),
  messages: {
    async append({ id, state, tx }, { messageId }) {
      state.lines++;
      await tx.execute({
        text: "INSERT INTO witness_turns (organization_id, journal, line, message_id) VALUES ($1, $2, $3, $4)",
        values: [tx.organizationId, id, state.lines, messageId],
      });
      return state.lines;
    },
  },
};

/** The witness as a service; nodes of roles that should only call it know its contract and host a stand-in. */
export function witness(isHosted: boolean): ExtraService {
  return {
    contract: witnessContract,
    factory: (runtime): ServiceSchema => {
      if (!isHosted) return { name: "witness-elsewhere" };
      const node = runtime.env.NODE_ID;
      return createService(witnessContract, { append }, runtime, {
        actors: { journal },
        jobs: {
          receipt: async ({ params, locals: { tx } }: WitnessContext<{ seq: number }>) => {
            await tx.execute({
              text: "INSERT INTO witness_receipts (organization_id, seq, node) VALUES ($1, $2, $3)",
              values: [tx.organizationId, params.seq, node],
            });
          },
          tick: async ({ params, locals: { tx } }: WitnessContext<{ scheduledFor: string }>) => {
            await tx.execute({
              text: "INSERT INTO witness_ticks (scheduled_for, node) VALUES ($1, $2)",
              values: [params.scheduledFor, node],
            });
          },
        },
        listeners: {
          ledger: async ({ locals: { tx } }: WitnessContext<unknown>, { seq, entity }: Heard) => {
            await tx.execute({
              text: "INSERT INTO witness_heard (organization_id, seq, entity_id) VALUES ($1, $2, $3)",
              values: [tx.organizationId, seq, entity.id],
            });
          },
          errands: ({ locals: { tx } }: WitnessContext<unknown>, { seq }: Heard) => {
            tx.enqueue({ task: "witness.receipt", payload: { seq } });
            return Promise.resolve();
          },
        },
      });
    },
  };
}
