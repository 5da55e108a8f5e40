import type { Homes, OrganizationHome } from "../homes.ts";
import type { Place } from "./place.ts";

/**
 * Says in the control database that a move begins; answers its epoch.
 * @throws Error when the organization has another home by now, or is being erased
 */
export async function announceMove(
  control: Place,
  organizationId: string,
  from: number,
  to: number,
): Promise<string> {
  const [row] = await control.rows<{ epoch: string }>(
    `INSERT INTO control.organization_shards AS o (organization_id, database_index, other_index, state, epoch)
     SELECT id, $2::int, $3::int, 'moving', 1 FROM control.organizations WHERE id = $1 AND erasing_at IS NULL FOR SHARE
     ON CONFLICT (organization_id) DO UPDATE SET other_index = excluded.other_index, state = 'moving',
       epoch = o.epoch + 1, changed_at = clock_timestamp()
     WHERE o.database_index = excluded.database_index AND o.state <> 'cleaning' RETURNING epoch`,
    [organizationId, from, to],
  );
  if (!row)
    throw new Error(
      "The organization's home has changed meanwhile, or it is being erased; look and try again.",
    );
  return row.epoch;
}

/** Says that a move is over; answers nothing when another has begun. */
export const settle = (control: Place, organizationId: string, epoch: string): Promise<unknown[]> =>
  control.rows(
    `UPDATE control.organization_shards SET state = 'settled', other_index = NULL, changed_at = clock_timestamp()
     WHERE organization_id = $1 AND epoch = $2 RETURNING epoch`,
    [organizationId, epoch],
  );

/** Where the organization is, after ending what a dead mover left behind the switch. */
export async function findHome(
  control: Place,
  homes: Homes,
  organizationId: string,
): Promise<OrganizationHome | undefined> {
  await homes.refresh();
  const [row] = await control.rows<{ home: string }>(
    `SELECT json_build_object('organizationId', organization_id, 'databaseIndex', database_index,
       'otherIndex', other_index, 'state', state, 'epoch', epoch::text) AS home
     FROM control.organization_shards WHERE organization_id = $1`,
    [organizationId],
  );
  return row && (JSON.parse(row.home) as OrganizationHome);
}
