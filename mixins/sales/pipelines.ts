import { v7 as uuidv7 } from "uuid";
import type { DealRow } from "../../entities/deal.ts";
import type { Database } from "../database/database.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import { CopiesByOrganization } from "../organizations/copies.ts";
import { invalid } from "../contract/errors.ts";
import { defaultStages, Pipelines, type PipelineStages } from "./stages.ts";

/** Broadcast {organizationId} after a change of pipelines: every process forgets its copy. */
export const pipelinesChanged = "pipelines.changed";

/**
 * This process's copy of each organization's pipelines, so that writing a deal reads none. What a copy says of a stage that a deal
 * enters is asked again in its transaction (`requireStage`).
 */
export class PipelineCache {
  readonly #database: Database;
  readonly #copies = new CopiesByOrganization((organizationId) => this.#load(organizationId));

  constructor(database: Database) {
    this.#database = database;
  }

  /** As they are, the default one made where there is none yet; loaded where this process has no copy. */
  of(organizationId: string): Promise<Pipelines> {
    return this.#copies.of(organizationId);
  }

  forget(organizationId: string): void {
    this.#copies.forget(organizationId);
  }

  async #load(organizationId: string): Promise<Pipelines> {
    const read = async (tx: UnitOfWork) =>
      new Pipelines(
        await tx.query<PipelineStages>({
          text: "SELECT id, name, stages, is_default FROM pipelines WHERE deleted_at IS NULL ORDER BY created_at, id",
        }),
      );
    const there = await this.#database.transaction({ organizationId }, read);
    if (there.default !== undefined) return there;
    return this.#database.transaction({ organizationId }, async (tx) => {
      await makeDefault(tx);
      return read(tx);
    });
  }
}

/** Of two who make it at once one does. */
async function makeDefault(tx: UnitOfWork): Promise<void> {
  const stages = defaultStages.map((stage, position) => ({
    ...{ id: uuidv7(), ...stage, position },
    ...{ requiredFields: [], rottingDays: null, forecastCategory: "pipeline" },
  }));
  await tx.execute({
    text: `INSERT INTO pipelines (organization_id, id, name, stages, is_default, created_at, updated_at)
      VALUES ($1, $2, 'Sales', $3, true, $4, $4)
      ON CONFLICT (organization_id) WHERE is_default AND deleted_at IS NULL DO NOTHING`,
    values: [tx.organizationId, uuidv7(), JSON.stringify(stages), tx.now.toISOString()],
  });
}

/** By stage. */
type Asking = Map<string, Promise<void>>;
const asked = new WeakMap<UnitOfWork, Asking>();
type Placed = Pick<DealRow, "pipeline_id" | "stage_id" | "status">;
/**
 * Makes sure that a deal's stage is still there and of its kind, and that nobody takes it out or makes it another until the end of
 * the transaction. Asked once for all deals of a transaction. @throws 422
 */
export function requireStage(tx: UnitOfWork, deal: Placed): Promise<void> {
  const stageId = deal.stage_id;
  let ofTx = asked.get(tx);
  if (ofTx === undefined) asked.set(tx, (ofTx = new Map() as Asking));
  let asking = ofTx.get(stageId);
  if (asking === undefined) ofTx.set(stageId, (asking = askStage(tx, deal)));
  return asking;
}

async function askStage(tx: UnitOfWork, deal: Placed): Promise<void> {
  const [row] = await tx.query<Pick<PipelineStages, "stages">>({
    name: "pipeline_for_deal",
    text: "SELECT stages FROM pipelines WHERE id = $1 AND deleted_at IS NULL FOR SHARE",
    values: [deal.pipeline_id],
  });
  if (row?.stages.some(({ id, kind }) => id === deal.stage_id && kind === deal.status) !== true)
    throw invalid([
      {
        path: "stageId",
        code: "unknown_stage",
        message: "was taken out of the pipeline just now, or made another kind of stage; try again",
      },
    ]);
}
