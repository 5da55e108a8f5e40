/** What a request was answered. */
export interface Answer {
  status: number;
  contentType: string;
  headers: Headers;
  /** Parsed when it is JSON, else text. */
  body: unknown;
}

/** An HTTP client of one user, as a program outside would be. */
export class Client {
  readonly origin: string;
  readonly token: string | undefined;
  readonly apiKey: string | undefined;
  readonly refreshToken: string | undefined;
  readonly userId: string;
  readonly organizationId: string;

  constructor(
    origin: string,
    session?: {
      accessToken: string;
      refreshToken: string;
      user: { id: string };
      organization: { id: string };
    },
    apiKey?: string,
  ) {
    this.origin = origin;
    this.apiKey = apiKey;
    this.token = session?.accessToken;
    this.refreshToken = session?.refreshToken;
    this.userId = session?.user.id ?? "";
    this.organizationId = session?.organization.id ?? "";
  }

  /** Sends JSON (or a form, or raw text) to a path under /api/v1. */
  async send(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const isForm = body instanceof FormData;
    const canHaveBody = method !== "GET" && body !== undefined;
    const response = await fetch(path.startsWith("http") ? path : `${this.origin}/api/v1${path}`, {
      method,
      headers: {
        ...(this.token ? { authorization: `Bearer ${this.token}` } : {}),
        ...(this.apiKey ? { "x-api-key": this.apiKey } : {}),
        ...(canHaveBody && !isForm ? { "content-type": "application/json" } : {}),
        ...headers,
      },
      body: canHaveBody ? (isForm || typeof body === "string" ? body : JSON.stringify(body)) : undefined,
    });
    const text = await response.text();
    const contentType = response.headers.get("content-type") ?? "";
    return {
      status: response.status,
      contentType,
      headers: response.headers,
      body: contentType.includes("json") && text !== "" ? (JSON.parse(text) as unknown) : text,
    };
  }

  get = (path: string, headers?: Record<string, string>) => this.send("GET", path, undefined, headers);
  post = (path: string, body?: unknown, headers?: Record<string, string>) =>
    this.send("POST", path, body, headers);

  /** A program with an API key. */
  withApiKey = (apiKey: string): Client => new Client(this.origin, undefined, apiKey);

  /** Registers an organization; answers its admin. */
  async register(organizationName: string): Promise<Client> {
    const email = `${organizationName.toLowerCase()}-${Math.random().toString(36).slice(2)}@test.example`;
    const answer = await this.post("/auth/register", { organizationName, name: "Admin", email, password });
    if (answer.status !== 201) throw new Error(`register: ${JSON.stringify(answer.body)}`);
    return new Client(this.origin, answer.body as never);
  }

  /** Adds a user with a role and signs in as them. */
  async addUser(role: string): Promise<Client> {
    const email = `${role}-${Math.random().toString(36).slice(2)}@test.example`;
    const made = await this.post("/users", { name: role, email, role, password });
    if (made.status !== 201) throw new Error(`addUser: ${JSON.stringify(made.body)}`);
    const signedIn = await this.post("/auth/login", { email, password });
    if (signedIn.status !== 200) throw new Error(`login: ${JSON.stringify(signedIn.body)}`);
    return new Client(this.origin, signedIn.body as never);
  }
}

const password = "correct-horse-battery";
