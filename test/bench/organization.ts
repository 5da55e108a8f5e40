import { demoLeads } from "../../services/seed-data.ts";

interface Session {
  organization: { id: string };
  accessToken: string;
}
interface Page {
  data: Record<string, unknown>[];
}

const admin = { email: "admin@bench.example", password: "measured-twice-2026" };
const leadsAtOnce = 1000;
/** Well before an access token ends (10 minutes). */
const renewAfterMs = 240_000;

/** The organization under load, and its admin's session. */
export class Organization {
  readonly id: string;
  #origin: string;
  #token: string;
  #signedInAt = performance.now();

  private constructor(origin: string, session: Session) {
    this.#origin = origin;
    this.id = session.organization.id;
    this.#token = session.accessToken;
  }

  static async register(origin: string): Promise<Organization> {
    const body = { organizationName: "Bench", name: "Admin", ...admin };
    return new Organization(origin, await ask<Session>("POST", `${origin}/api/v1/auth/register`, { body }));
  }

  /** From now on its requests go to another gateway. */
  moveTo(origin: string): void {
    this.#origin = origin;
  }

  /** A token with minutes to live. */
  async accessToken(): Promise<string> {
    if (performance.now() - this.#signedInAt > renewAfterMs) {
      const session = await ask<Session>("POST", `${this.#origin}/api/v1/auth/login`, { body: admin });
      this.#token = session.accessToken;
      this.#signedInAt = performance.now();
    }
    return this.#token;
  }

  /** Gives it `count` leads, as the API makes them. */
  async fill(count: number): Promise<void> {
    const leads = demoLeads(count);
    for (let first = 0; first < count; first += leadsAtOnce) {
      const { results } = await ask<{ results: { status: number }[] }>(
        "POST",
        `${this.#origin}/api/v1/leads/bulk`,
        { token: this.#token, body: { items: leads.slice(first, first + leadsAtOnce) } },
      );
      const failed = results.find(({ status }) => status !== 201);
      if (failed) throw new Error(`A lead was refused: ${JSON.stringify(failed)}`);
    }
  }

  /** @throws Error unless the bare server answers the same page, field by field, as the gateway */
  async assertSamePage(bareOrigin: string): Promise<void> {
    const path = "/api/v1/leads?limit=50";
    const bare = await ask<Page>("GET", `${bareOrigin}${path}`);
    const ours = await ask<Page>("GET", `${this.#origin}${path}`, { token: await this.accessToken() });
    if (ours.data.length !== 50 || canonical(bare) !== canonical(ours))
      throw new Error(
        `The two servers differ:\n${canonical(bare).slice(0, 1000)}\n${canonical(ours).slice(0, 1000)}`,
      );
  }
}

/** The page with its fields in one order and its times in one format. */
function canonical({ data }: Page): string {
  return JSON.stringify(
    data.map((lead) =>
      Object.entries(lead)
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .map(([field, value]) =>
          field.endsWith("At") && typeof value === "string" ? [field, Date.parse(value)] : [field, value],
        ),
    ),
  );
}

async function ask<T>(
  method: string,
  url: string,
  options: { token?: string; body?: object } = {},
): Promise<T> {
  const response = await fetch(url, {
    method,
    headers: {
      ...(options.token ? { authorization: `Bearer ${options.token}` } : {}),
      ...(options.body ? { "content-type": "application/json" } : {}),
    },
    ...(options.body ? { body: JSON.stringify(options.body) } : {}),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${method} ${url} answered ${response.status}: ${text.slice(0, 500)}`);
  return JSON.parse(text) as T;
}
