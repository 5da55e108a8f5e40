import type { ServiceSchema } from "moleculer";
import { rate, type RateRow } from "../../entities/rate.ts";
import { conflict, invalid, type FieldError } from "../../mixins/contract/errors.ts";
import { createService, type Runtime } from "../../mixins/contract/service.ts";
import { recordHandlers } from "../../mixins/records/handlers.ts";
import type { RecordRules } from "../../mixins/records/writing/desk.ts";
import { ratesChanged } from "../../mixins/sales/rates.ts";
import type { Ctx, HandlersOf } from "../contracts.ts";
import { recordDesk } from "../record-desk.ts";
import { ratesContract } from "./rates.contract.ts";

/** What currencies are worth in the organization's own. */
export default function ratesService(runtime: Runtime): ServiceSchema {
  const records = recordHandlers(rate, recordDesk(runtime), rateRules(runtime));
  const handlers: HandlersOf<typeof ratesContract> = {
    ...records,
    create: (ctx) => announced(ctx, records.create(ctx)),
    update: (ctx) => announced(ctx, records.update(ctx)),
    remove: (ctx) => announced(ctx, records.remove(ctx)),
    restore: (ctx) => announced(ctx, records.restore(ctx)),
    revert: (ctx) => announced(ctx, records.revert(ctx)),
  };
  return createService(ratesContract, handlers, runtime);
}

const exists = () =>
  conflict("RATE_EXISTS", "The currency has another rate from this very moment on; change that one.");

const rateRules = ({
  organizations,
}: Pick<Runtime, "organizations">): RecordRules<RateRow, { own: string }> => ({
  async prepare(ctx) {
    return { own: (await organizations.of(ctx.locals.principal.organizationId)).currency };
  },
  complete(row, { own }) {
    const whole = {
      ...row,
      base_currency: own,
      valid_from: (row.valid_from as string | null) ?? row.created_at,
    };
    requireWhole(whole);
    return whole;
  },
  decide(_before, change) {
    requireWhole(change.row);
    return change;
  },
  also(tx) {
    tx.onViolation("rates_moment", exists);
  },
});

/** @throws 422 */
function requireWhole({ currency, rate: worth, base_currency: base }: RateRow): void {
  const problems = (["currency", "rate"] as const).flatMap((path): FieldError[] => {
    const value = path === "rate" ? worth : currency;
    return (value as string | null) === null ? [{ path, code: "required", message: "must be given" }] : [];
  });
  if (currency === base)
    problems.push({
      ...{ path: "currency", code: "own_currency" },
      message: `is the organization's own; give what another currency is worth in ${base}`,
    });
  if (problems.length > 0) throw invalid(problems);
}

/** After the commit, every process forgets its copy. */
function announced<R>({ broker, locals }: Pick<Ctx<"rates.get">, "broker" | "locals">, answer: R): R {
  const { organizationId } = locals.principal;
  locals.tx.afterCommit(() => void broker.broadcast(ratesChanged, { organizationId }));
  return answer;
}
