import { inspect } from "./database.ts";
import { shardUrl, type TestOrganization } from "./leads.ts";
import { eventually } from "./eventually.ts";
import { type TestNode } from "./node.ts";

/** Waits until every event of the organization has its place in the feed. */
export const placed = (node: TestNode, org: Pick<TestOrganization, "id">): Promise<true> =>
  eventually(async () => {
    const [row] = await inspect<{ isPlaced: boolean }>(
      shardUrl(node, org.id),
      `SELECT count(*) FILTER (WHERE seq IS NULL) = 0 AS "isPlaced" FROM events WHERE organization_id = $1`,
      [org.id],
    );
    return row?.isPlaced;
  });

/** Brings the figures up to all that has happened. */
export async function refreshFigures(node: TestNode, org: Pick<TestOrganization, "id">): Promise<void> {
  await placed(node, org);
  await node.broker.call(
    "analytics.refreshOrganization",
    {},
    { meta: { organizationId: org.id, role: "system" } },
  );
}

/** The day of an instant in a time zone, by another way than PostgreSQL's. */
export const dayIn = (timeZone: string, instant: string | Date): string =>
  new Intl.DateTimeFormat("sv-SE", { timeZone }).format(new Date(instant));
