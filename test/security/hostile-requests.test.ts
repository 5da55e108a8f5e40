import { afterAll, beforeAll, expect, test } from "@jest/globals";
import { Pool } from "undici";
import { problem } from "../../services/gateway/problem.ts";
import { routes, type Route } from "../../services/gateway/routes.ts";
import { apiKeyListing } from "../../services/identity/api-keys/api-keys.contract.ts";
import { auditListing } from "../../services/identity/audit-log/audit-log.contract.ts";
import { userListing } from "../../services/identity/identity.contract.ts";
import { customFieldListing } from "../../services/custom-fields/custom-fields.contract.ts";
import { lead } from "../../entities/lead.ts";
import { poolListing } from "../../services/leads/pools.contract.ts";
import { requestListing } from "../../services/privacy/privacy.contract.ts";
import { teamListing } from "../../services/teams/teams.contract.ts";
import type { Client } from "../support/client.ts";
import { hostileRequests, type HostileRequest } from "./hostile.ts";
import { buildWorld, type World } from "./world.ts";

/** Requests of a route, and three for each place that it takes something in. */
const size = Number(process.env.HOSTILE_REQUESTS ?? 16);
const atOnce = 8;
const listings = [
  ...[apiKeyListing, auditListing, userListing, customFieldListing, lead.listing, poolListing],
  ...[requestListing, teamListing],
];

let world: World;
let pool: Pool;
beforeAll(async () => {
  world = await buildWorld({ TRUST_PROXY: "true" });
  pool = new Pool(world.theirs.origin, { connections: atOnce });
});
afterAll(async () => {
  await pool.close();
  await world.node.stop();
});

/** What a path's parameters are named by in `world.foreign`. */
function paramsOf({ path, pathParams }: Route): Record<string, string> {
  const named = Object.entries(world.foreign).filter(([prefix]) => path.startsWith(prefix));
  return Object.fromEntries(
    pathParams.map((name) => [name, named.find(([prefix]) => prefix.endsWith(`:${name}`))?.[1] ?? ""]),
  );
}
const listingOf = ({ spec, path }: Route) =>
  "filter" in ((spec.params as { shape?: object }).shape ?? {})
    ? (listings.find(({ table }) => path.includes((table.split(".").at(-1) as string).replaceAll("_", "-")))
      ?? listings.find(({ table }) => table === "privacy_requests" && path === "/privacy/requests"))
    : undefined;

async function send(request: HostileRequest, caller: Client | undefined) {
  const credential = caller ? { authorization: `Bearer ${caller.token}` } : {};
  const { statusCode, headers, body } = await pool.request({
    method: request.method,
    path: request.path,
    headers: { ...credential, ...request.headers },
    ...(request.body === undefined ? {} : { body: request.body }),
  });
  return { status: statusCode, type: String(headers["content-type"] ?? ""), text: await body.text() };
}

/** What is wrong with an answer; undefined for one that is as it should be. */
function fault({ status, type, text }: Awaited<ReturnType<typeof send>>): string | undefined {
  if (status < 400) return undefined;
  if (status >= 500) return "a server error";
  if (!type.startsWith("application/problem+json")) return `of type ${type}`;
  const said = problem.safeParse(JSON.parse(text));
  if (!said.success) return `no problem: ${said.error.message}`;
  const { errors = [] } = said.data;
  if ((status === 400 || status === 422) && errors.length === 0) return "without errors";
  if (errors.some(({ message }) => /invalid input|\bexpected\b|\breceived\b|unrecognized/i.test(message)))
    return "in a validator's words";
  return text.length > 60_000 ? `${text.length} bytes long` : undefined;
}

/** Who ends a session is nobody from then on. */
const leaving = (): Record<string, Client> => ({
  "identity.logout": world.ours.viewer,
  "identity.revokeSession": world.ours.manager,
});

// what reads first, what deletes last, so that there is something to find
const order = ["GET", "POST", "PUT", "PATCH", "DELETE"];
const walked = routes.toSorted((a, b) => order.indexOf(a.method) - order.indexOf(b.method));

test.each(walked.map((route) => [`${route.method} ${route.path}`, route] as const))(
  "%s answers whatever comes with a success or a problem that says what is wrong",
  async (_name, route) => {
    const listing = listingOf(route);
    const target = {
      route,
      params: paramsOf(route),
      filterable: listing ? [...listing.filterable, ...(listing.customFields ? ["customFields.x"] : [])] : [],
      ...(listing ? { sort: listing.defaultSort } : {}),
    };
    const caller = route.spec.permission === "public" ? undefined : (leaving()[route.action] ?? world.theirs);
    const requests = hostileRequests(target, size);
    const count = requests.length;
    const statuses = new Map<number, number>();
    const faults: unknown[] = [];
    const work = async () => {
      for (let request = requests.pop(); request; request = requests.pop()) {
        const answer = await send(request, caller);
        statuses.set(answer.status, (statuses.get(answer.status) ?? 0) + 1);
        const wrong = fault(answer);
        if (wrong !== undefined)
          faults.push({ wrong, status: answer.status, ...request, answer: answer.text.slice(0, 500) });
      }
    };
    await Promise.all(Array.from({ length: atOnce }, work));
    expect(faults).toEqual([]);
    // else nothing was tried
    if (caller === world.theirs) expect(statuses.get(401) ?? 0).toBeLessThan(count / 2);
  },
);
