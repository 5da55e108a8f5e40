import { kinds } from "../../entities/kinds.ts";
import { refreshFigures } from "../support/analytics.ts";
import { Client, type Answer } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { shardUrl } from "../support/leads.ts";
import { kindsThat } from "../support/records.ts";
import { eventually } from "../support/eventually.ts";
import { originOf, startTestNode, type TestNode } from "../support/node.ts";

export const roles = ["admin", "manager", "sales_rep", "viewer"] as const;
/** What the API key may do. */
export const scopes = ["leads:read", "leads:update", "leads:delete", "pools:read", "events:read"];
/** In every text of theirs. */
export const mark = "kestrel";

/** Two organizations in the same database: ours, whose users try everything, and theirs. */
export interface World {
  node: TestNode;
  /** A client for each role, and one with an API key of the admin. */
  ours: Record<(typeof roles)[number] | "key", Client>;
  theirs: Client;
  /** What of theirs a path of a route names, by the route's path up to the parameter: `/leads/:id`. */
  foreign: Record<string, string>;
  /** A lead of ours. */
  ownLeadId: string;
  /** A record of ours of each kind, by the path that names it: `/contacts/:id`. */
  own: Record<string, string>;
  /** Every id, of whatever table, that is theirs. */
  theirIds: ReadonlySet<string>;
  /** The content of each of their tables, as a hash. */
  theirTables(): Promise<Record<string, string>>;
}

const created = async (answering: Promise<Answer>): Promise<Record<string, string>> => {
  const answer = await answering;
  if (answer.status >= 300) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`);
  return answer.body as Record<string, string>;
};

export async function buildWorld(settings: Record<string, string> = {}): Promise<World> {
  const node = await startTestNode({ DEV_OUTBOX: "true", ...settings });
  const visitor = new Client(originOf(node));
  const theirs = await visitor.register(mark);
  const foreign = await fill(node, theirs);
  const admin = await registerBeside(node, visitor, theirs);
  const ours = { admin } as World["ours"];
  for (const role of roles.slice(1)) ours[role] = await admin.addUser(role);
  const { key } = await created(admin.post("/api-keys", { name: "walker", scopes }));
  ours.key = admin.withApiKey(key as string);
  const { id: ownLeadId } = await created(admin.post("/leads", { lastName: "Ours" }));
  const own: Record<string, string> = { "/leads/:id": ownLeadId as string };
  for (const { plural, example } of kinds.values())
    own[`/${plural}/:id`] ??= (await created(admin.post(`/${plural}`, example))).id as string;
  const world = { node, ours, theirs, foreign, ownLeadId: ownLeadId as string, own };
  await eventually(() => isAtRest(node), 30_000);
  // so that the clock finds them up to date
  for (const { organizationId: id } of [admin, theirs]) await refreshFigures(node, { id });
  const tables = await tenantTables(node.databases[0] as string);
  // requests are counted some seconds after they came
  const still = tables.filter((table) => table !== "control.api_usage");
  return {
    ...world,
    theirIds: new Set((await Promise.all(tables.map((table) => idsIn(world, table)))).flat()),
    theirTables: async () =>
      Object.fromEntries(
        await Promise.all(still.map(async (table) => [table, await hashOf(world, table)] as const)),
      ),
  };
}

/** Whether every event has its place and every job is done: nothing changes any more by itself. */
async function isAtRest(node: TestNode): Promise<boolean> {
  const counts = await Promise.all(
    node.databases.map((url) =>
      inspect<{ count: number }>(
        url,
        `SELECT ((SELECT count(*) FROM events WHERE seq IS NULL)
          + (SELECT count(*) FROM graphile_worker._private_jobs
             WHERE run_at <= now() AND attempts < max_attempts))::int AS count`,
      ),
    ),
  );
  return counts.flat().every(({ count }) => count === 0);
}

/** An organization whose rows are in the database of `neighbour`'s. */
async function registerBeside(node: TestNode, visitor: Client, neighbour: Client): Promise<Client> {
  for (;;) {
    const client = await visitor.register("Ours");
    if (shardUrl(node, client.organizationId) === shardUrl(node, neighbour.organizationId)) return client;
  }
}

/** Makes one of everything that a path can name. */
async function fill(node: TestNode, theirs: Client): Promise<World["foreign"]> {
  const rep = await theirs.addUser("sales_rep");
  const lead = await created(
    theirs.post("/leads", { lastName: mark, externalId: mark, email: `${mark}@example.com`, tags: [mark] }),
  );
  const converted = await created(theirs.post("/leads", { lastName: `${mark} two`, companyName: mark }));
  await created(theirs.post(`/leads/${converted.id}/convert`, { createDeal: true }));
  const reminder = await created(
    theirs.post(`/leads/${lead.id}/reminders`, { remindAt: "2030-01-01T00:00:00Z", note: mark }),
  );
  const pool = await created(
    theirs.post("/assignment-pools", {
      name: mark,
      strategy: "round_robin",
      members: [{ userId: rep.userId }],
    }),
  );
  await created(
    theirs.post("/custom-fields", { kind: "contact", key: "rank", type: "number", isIndexed: true }),
  );
  const records: (readonly [string, string])[] = [];
  const commentable = new Set(kindsThat("listComments").map(([plural]) => plural));
  for (const { name, plural, title, fields, owner, example } of kinds.values()) {
    // made above, with what hangs on it
    if (name === "lead") continue;
    const named = { [title[0] ?? ""]: mark, ...(owner && { [owner]: rep.userId }) };
    const more = { externalId: mark, tags: [mark], customFields: { secret: mark, rank: 7 } };
    const { id } = await created(
      theirs.post(`/${plural}`, "customFields" in fields ? { ...named, ...more } : { ...example, ...named }),
    );
    if (commentable.has(plural))
      records.push([
        `/${plural}/:id/comments/:commentId`,
        await commentOn(theirs, `/${plural}/${id}`),
      ] as const);
    records.push([`/${plural}/:id`, id as string], [`/${plural}/by-external-id/:externalId`, mark]);
  }
  const loser = await created(theirs.post("/contacts", { lastName: mark }));
  const winner = await created(theirs.post("/contacts", { lastName: mark }));
  const operation = await created(
    theirs.send("PATCH", "/contacts/bulk", { ids: [winner.id], changes: { tags: [mark] } }),
  );
  await eventually(
    async () => (await created(theirs.get(`/operations/${operation.id}`))).status === "completed",
  );
  const merge = await created(theirs.post(`/contacts/${winner.id}/merge`, { loserIds: [loser.id] }));
  const customField = await created(theirs.post("/custom-fields", { key: mark, isSensitive: true }));
  const form = new FormData();
  form.set("file", new Blob([`Last Name,Email\n${mark} three,not an address\n`]), `${mark}.csv`);
  const imported = await created(theirs.post("/leads/import", form));
  await eventually(async () => {
    const { status } = await created(theirs.get(`/imports/${imported.id}`));
    return status === "completed";
  });
  const queueId = records.find(([path]) => path === "/call-queues/:id")?.[1];
  const call = await created(theirs.post("/calls", { queueId, recordId: lead.id, phone: "+919876543210" }));
  const list = await created(
    theirs.post("/lists", { name: mark, isShared: true, fields: [{ key: "state" }] }),
  );
  const entry = await created(
    theirs.post(`/lists/${list.id}/entries`, { recordId: lead.id, values: { state: mark } }),
  );
  const view = await created(theirs.post("/views", { name: mark, isShared: true }));
  const key = await created(theirs.post("/api-keys", { name: mark, scopes: ["leads:read"] }));
  const invite = await created(
    theirs.post("/users/invite", { name: mark, email: `${mark}-guest@example.com`, role: "viewer" }),
  );
  const role = await created(theirs.post("/roles", { name: mark, permissions: ["leads:read"] }));
  const team = await created(theirs.post("/teams", { name: mark, memberIds: [rep.userId] }));
  const exported = await created(theirs.post("/privacy/exports", { scope: "organization" }));
  const { body: sessions } = await theirs.get("/auth/sessions");
  return {
    "/auth/sessions/:id": (sessions as { data: { id: string }[] }).data[0]?.id as string,
    "/auth/identities/:id": await linkedIdentity(node, theirs),
    // a provider is nobody's
    "/auth/oauth/:provider": "nosuch",
    "/users/:id": rep.userId,
    "/invites/:id": invite.id as string,
    "/api-keys/:id": key.id as string,
    ...(Object.fromEntries(records) as Record<string, string>),
    "/leads/:id": lead.id as string,
    "/leads/by-external-id/:externalId": mark,
    "/leads/:id/comments/:commentId": await commentOn(theirs, `/leads/${lead.id}`),
    "/leads/:id/reminders/:reminderId": reminder.id as string,
    "/merges/:id": merge.mergeId as string,
    "/operations/:id": operation.id as string,
    "/custom-fields/:id": customField.id as string,
    "/views/:id": view.id as string,
    "/calls/:id": call.id as string,
    "/lists/:id": list.id as string,
    "/lists/:id/entries/:entryId": entry.id as string,
    "/assignment-pools/:id": pool.id as string,
    "/imports/:id": imported.id as string,
    "/roles/:role": role.id as string,
    "/teams/:id": team.id as string,
    "/privacy/requests/:id": exported.id as string,
    "/jobs/:id": await deadJob(node, theirs.organizationId),
  };
}

const commentOn = async (client: Client, path: string): Promise<string> =>
  (await created(client.post(`${path}/comments`, { body: mark }))).id as string;

/** An account of a provider that their admin signs in with. */
async function linkedIdentity(node: TestNode, { organizationId, userId }: Client): Promise<string> {
  const [linked] = await inspect<{ id: string }>(
    node.databases[0] as string,
    `INSERT INTO control.identities (id, organization_id, user_id, issuer, subject, provider, email, created_at)
      VALUES (gen_random_uuid(), $1, $2, 'https://id.test', $3, 'test', $3, now()) RETURNING id`,
    [organizationId, userId, mark],
  );
  return linked?.id as string;
}

/** A job of the organization that has failed for good. */
async function deadJob(node: TestNode, organizationId: string): Promise<string> {
  const later = new Date(Date.now() + 3_600_000);
  await node.runtime.database.transaction({ organizationId }, (tx) => {
    tx.enqueue({ task: "imports.run", payload: { importId: organizationId }, runAt: later });
    return Promise.resolve();
  });
  const [job] = await inspect<{ id: string }>(
    shardUrl(node, organizationId),
    `UPDATE graphile_worker._private_jobs SET attempts = max_attempts, last_error = $1
     WHERE run_at > now() + interval '50 minutes' RETURNING id::text`,
    [mark],
  );
  return (job as { id: string }).id;
}

/** Tables with an organization_id; partitions are read through their parent. */
export async function tenantTables(url: string): Promise<string[]> {
  const rows = await inspect<{ name: string }>(
    url,
    `SELECT c.oid::regclass::text AS name FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id' AND NOT a.attisdropped
     WHERE n.nspname IN ('public', 'control') AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1`,
  );
  return rows.map(({ name }) => name);
}

type Place = Pick<World, "node" | "theirs">;
/** Where a table of both organizations is. */
export const databaseOf = ({ node, theirs }: Place, table: string): string =>
  table.startsWith("control.") ? (node.databases[0] as string) : shardUrl(node, theirs.organizationId);
const read = <T extends Record<string, unknown>>(place: Place, table: string, sql: string) =>
  inspect<T>(databaseOf(place, table), sql, [place.theirs.organizationId]);

async function idsIn(place: Place, table: string): Promise<string[]> {
  const rows = await read<{ id: string | null }>(
    place,
    table,
    `SELECT to_jsonb(t) ->> 'id' AS id FROM ${table} t WHERE organization_id = $1`,
  );
  return rows.flatMap(({ id }) => id ?? []);
}

async function hashOf(place: Place, table: string): Promise<string> {
  const [row] = await read<{ hash: string }>(
    place,
    table,
    `SELECT count(*) || ':' || coalesce(md5(string_agg(t::text, '|' ORDER BY t::text)), '') AS hash
     FROM ${table} t WHERE organization_id = $1`,
  );
  return (row as { hash: string }).hash;
}
