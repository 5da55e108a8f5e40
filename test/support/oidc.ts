import { once } from "node:events";
import {
  createServer,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import type { AddressInfo } from "node:net";
import { SignJWT, exportJWK, generateKeyPair, type CryptoKey, type JWTPayload } from "jose";
import Provider from "oidc-provider";

// it warns that its defaults are no production's
Object.assign(console, { info: () => undefined, warn: () => undefined });

/** Somebody who signs in there. */
export interface Account {
  sub: string;
  email?: string;
  email_verified?: boolean;
  /** How they authenticated. */
  amr?: string[];
}

export const client = { clientId: "sangam", clientSecret: "a secret between the two" };

/** The real server of OpenID Connect on loopback; whoever comes is signed in as `account`. */
export class RealProvider {
  readonly #server: Server;
  readonly issuer: string;
  account: Account = { sub: "nobody" };

  private constructor(server: Server, redirectUri: string) {
    this.#server = server;
    this.issuer = originOf(server);
    const accounts = new Map<string, Account>();
    const provider = new Provider(this.issuer, {
      clients: [
        { client_id: client.clientId, client_secret: client.clientSecret, redirect_uris: [redirectUri] },
      ],
      cookies: { keys: ["of a test"] },
      claims: { openid: ["sub", "amr"], email: ["email", "email_verified"] },
      scopes: ["openid", "email", "profile"],
      features: { devInteractions: { enabled: false } },
      interactions: { url: (_ctx: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
      findAccount: (_ctx: unknown, accountId: string) => ({
        accountId,
        claims: () => ({ ...accounts.get(accountId) }),
      }),
      loadExistingGrant: async (ctx: { oidc: { session: { accountId: string } } }) => {
        const grant = new provider.Grant({
          accountId: ctx.oidc.session.accountId,
          clientId: client.clientId,
        });
        grant.addOIDCScope("openid email profile");
        await grant.save();
        return grant;
      },
    });
    const answer: RequestListener = provider.callback();
    const signIn = (request: IncomingMessage, response: ServerResponse) => {
      const { sub: accountId, amr } = this.account;
      accounts.set(accountId, this.account);
      return provider.interactionFinished(request, response, { login: { accountId, amr, remember: false } });
    };
    server.on("request", (request, response) => {
      if (request.url?.startsWith("/interaction/")) void signIn(request, response);
      else answer(request, response);
    });
  }

  static async listen(redirectUri: (issuer: string) => string): Promise<RealProvider> {
    const server = await listening();
    return new RealProvider(server, redirectUri(originOf(server)));
  }

  close = () => closed(this.#server);
}

/** An issuer that answers what a test wants it to. */
export class EvilProvider {
  readonly #server: Server;
  readonly #keys: { publicKey: CryptoKey; privateKey: CryptoKey };
  readonly issuer: string;
  /** Status of discovery; 200 answers it. */
  discovery = 200;
  /** The next ID token. */
  idToken = "";
  /** Bodies of the requests for tokens. */
  readonly asked: URLSearchParams[] = [];
  /** Put over what discovery says. */
  metadata: Record<string, unknown> = {};

  private constructor(server: Server, keys: { publicKey: CryptoKey; privateKey: CryptoKey }) {
    this.#server = server;
    this.#keys = keys;
    this.issuer = originOf(server);
    server.on(
      "request",
      (request: IncomingMessage, response: ServerResponse) => void this.#answer(request, response),
    );
  }

  static async listen(): Promise<EvilProvider> {
    return new EvilProvider(await listening(), await generateKeyPair("RS256"));
  }

  /** A token that is right but for what `claims` and `options` say. */
  async mint(
    claims: JWTPayload,
    { key, alg = "RS256" }: { key?: CryptoKey | Uint8Array; alg?: string } = {},
  ): Promise<string> {
    const now = Math.floor(Date.now() / 1000);
    const payload = { iss: this.issuer, aud: client.clientId, iat: now, exp: now + 60, ...claims };
    return new SignJWT(payload).setProtectedHeader({ alg, kid: "1" }).sign(key ?? this.#keys.privateKey);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const send = (status: number, body: unknown) =>
      response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
    const { issuer } = this;
    if (request.url === "/.well-known/openid-configuration")
      return void send(this.discovery, {
        issuer,
        authorization_endpoint: `${issuer}/authorize`,
        token_endpoint: `${issuer}/token`,
        jwks_uri: `${issuer}/jwks`,
        ...this.metadata,
      });
    if (request.url === "/jwks")
      return void send(200, { keys: [{ ...(await exportJWK(this.#keys.publicKey)), kid: "1", use: "sig" }] });
    let body = "";
    for await (const chunk of request.setEncoding("utf8")) body += String(chunk);
    this.asked.push(new URLSearchParams(body));
    send(200, { access_token: "of no use", token_type: "Bearer", id_token: this.idToken });
  }

  close = () => closed(this.#server);
}

async function listening(): Promise<Server> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}
const originOf = (server: Server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
async function closed(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((done) => server.close(done));
}
