import { isDeepStrictEqual } from "node:util";
import type { QueryResultRow } from "pg";
import { v7 as uuidv7 } from "uuid";
import { announceAccess } from "../../mixins/access/access.ts";
import { requireSight } from "../../mixins/access/reach.ts";
import { sightOf, type Principal } from "../../mixins/access/principal.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { versionMismatch } from "../../mixins/contract/errors.ts";
import { requireRoomFor } from "../../mixins/organizations/limits.ts";
import { readPage } from "../../mixins/records/finding/page.ts";
import { record, type Ctx, type Result } from "../contracts.ts";
import { teamListing, type TeamView } from "./teams.contract.ts";
import { teamNameTaken, teamNotFound, unknownMember } from "./teams.errors.ts";

interface TeamRow extends QueryResultRow {
  id: string;
  name: string;
  manager_ids: string[];
  member_ids: string[];
  created_at: string;
  updated_at: string;
  version: number;
}
const columns = "id, name, manager_ids, member_ids, created_at, updated_at, version";

const teamView = (row: TeamRow): TeamView => ({
  id: row.id,
  name: row.name,
  managerIds: row.manager_ids,
  memberIds: row.member_ids,
  createdAt: row.created_at,
  updatedAt: row.updated_at,
  version: row.version,
});

/** A page of the organization's teams. */
export async function list(ctx: Ctx<"teams.list">): Promise<Result<"teams.list">> {
  return readPage(ctx.locals.tx, teamListing, ctx.params, teamView);
}

/** One team. */
export async function get(ctx: Ctx<"teams.get">): Promise<TeamView> {
  return teamView(await findTeam(ctx.locals.tx, ctx.params.id, { lock: false }));
}

/** Makes a team of active users whose records the caller sees. */
export async function create(ctx: Ctx<"teams.create">): Promise<TeamView> {
  const { tx, principal } = ctx.locals;
  await requireUsers(ctx, ctx.params);
  const { name, managerIds, memberIds } = ctx.params;
  requireSight(principal, [...managerIds, ...memberIds]);
  await requireOtherTeam(tx, principal, null);
  const now = tx.now.toISOString();
  const row: TeamRow = {
    id: uuidv7(),
    name,
    manager_ids: managerIds,
    member_ids: memberIds,
    created_at: now,
    updated_at: now,
    version: 1,
  };
  await requireRoomFor(tx, "teams");
  tx.onViolation("teams_name", teamNameTaken);
  tx.defer({
    text: `INSERT INTO teams (organization_id, ${columns}) VALUES ($1, $2, $3, $4, $5, $6, $6, 1)`,
    values: [tx.organizationId, row.id, name, managerIds, memberIds, now],
  });
  announce(ctx, "team.created", row);
  return teamView(row);
}

/** Changes a team whose people's records the caller sees. What changes nothing makes no version and no event. */
export async function update(ctx: Ctx<"teams.update">): Promise<TeamView> {
  const { tx, principal } = ctx.locals;
  const { id, expectedVersion, name, managerIds, memberIds } = ctx.params;
  await requireUsers(ctx, ctx.params);
  const before = await findTeam(tx, id, { lock: true });
  requireVersion(before, expectedVersion);
  const row: TeamRow = {
    ...before,
    name: name ?? before.name,
    manager_ids: managerIds ?? before.manager_ids,
    member_ids: memberIds ?? before.member_ids,
  };
  requireSight(principal, [before, row].flatMap(peopleOf));
  if (isDeepStrictEqual(row, before)) return teamView(before);
  row.version = before.version + 1;
  row.updated_at = tx.now.toISOString();
  tx.onViolation("teams_name", teamNameTaken);
  tx.defer({
    text: `UPDATE teams SET (name, manager_ids, member_ids, updated_at, version) = ($2, $3, $4, $5, $6) WHERE id = $1`,
    values: [id, row.name, row.manager_ids, row.member_ids, row.updated_at, row.version],
  });
  announce(ctx, "team.updated", row);
  return teamView(row);
}

/** Deletes a team. Without any team, built-in managers see everything again. */
export async function remove(ctx: Ctx<"teams.remove">): Promise<null> {
  const { tx, principal } = ctx.locals;
  const before = await findTeam(tx, ctx.params.id, { lock: true });
  requireVersion(before, ctx.params.expectedVersion);
  requireSight(principal, peopleOf(before));
  await requireOtherTeam(tx, principal, before.id);
  tx.defer({ text: "DELETE FROM teams WHERE id = $1", values: [before.id] });
  announce(ctx, "team.deleted", { ...before, version: before.version + 1 });
  return null;
}

const peopleOf = (team: TeamRow): string[] => [...team.manager_ids, ...team.member_ids];

/** The first team takes from built-in managers that they see everything, and the end of the last gives it back. */
async function requireOtherTeam(tx: UnitOfWork, principal: Principal, id: string | null): Promise<void> {
  // who sees everything may do either; held, the other team does not go at the same time
  if (sightOf(principal) === "all") return;
  const others = await tx.query({
    text: "SELECT FROM teams WHERE id IS DISTINCT FROM $1 LIMIT 1 FOR KEY SHARE",
    values: [id],
  });
  if (others.length === 0) requireSight(principal, "everybody");
}

async function findTeam(tx: UnitOfWork, id: string, { lock }: { lock: boolean }): Promise<TeamRow> {
  const [row] = await tx.query<TeamRow>({
    text: `SELECT ${columns} FROM teams WHERE id = $1 ${lock ? "FOR UPDATE" : ""}`,
    values: [id],
  });
  if (!row) throw teamNotFound();
  return row;
}

function requireVersion(row: TeamRow, expected: number | undefined): void {
  if (expected !== undefined && expected !== row.version) throw versionMismatch(row.version);
}

/** Before the first statement: identity takes a connection of its own. @throws 422 naming the first who is no active user */
async function requireUsers(
  ctx: Ctx<"teams.create"> | Ctx<"teams.update">,
  { managerIds = [], memberIds = [] }: { managerIds?: string[]; memberIds?: string[] },
): Promise<void> {
  const ids = [...new Set([...managerIds, ...memberIds])];
  if (ids.length === 0) return;
  const active = new Set(await ctx.call("identity.activeUserIds", { ids }));
  for (const [field, given] of Object.entries({ managerIds, memberIds })) {
    const unknown = given.findIndex((id) => !active.has(id));
    if (unknown !== -1) throw unknownMember(`${field}.${unknown}`);
  }
}

function announce(
  ctx: Pick<Ctx<"teams.create">, "broker" | "locals">,
  type: "team.created" | "team.updated" | "team.deleted",
  row: TeamRow,
): void {
  const { tx, principal } = ctx.locals;
  record(tx, {
    type,
    entity: { kind: "team", id: row.id, version: row.version },
    actorId: principal.userId,
    audience: null,
    data: { team: teamView(row) },
  });
  announceAccess(ctx.broker, tx);
}
