import { createHash, randomBytes } from "node:crypto";
import { TOTP } from "otpauth";
import { freePort } from "../../mixins/process/ports.ts";
import { Client } from "./client.ts";
import { inspect } from "./database.ts";
import { startTestNode, type TestNode } from "./node.ts";
import { client, EvilProvider, RealProvider } from "./oidc.ts";

/** A node whose users sign in with a real provider, `real`, and one that lies, `evil`. */
export interface Federation {
  node: TestNode;
  api: string;
  visitor: Client;
  real: RealProvider;
  evil: EvilProvider;
  stop(): Promise<void>;
}
export const frontEnd = "https://app.example.com";

export async function startFederation(): Promise<Federation> {
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const api = `${origin}/api/v1`;
  const real = await RealProvider.listen(() => `${api}/auth/oauth/real/callback`);
  const evil = await EvilProvider.listen();
  const provider = { ...client, label: "Test", emailDomains: ["corp.test"] };
  const node = await startTestNode({
    SERVICES: "gateway,identity",
    PORT: String(port),
    PUBLIC_URL: origin,
    SIGN_IN_REDIRECTS: frontEnd,
    OUTBOUND_ALLOW: "127.0.0.1",
    OIDC_PROVIDERS: JSON.stringify([
      { ...provider, key: "real", issuer: real.issuer, isMfaTrusted: true },
      { ...provider, key: "evil", issuer: evil.issuer },
    ]),
  });
  return {
    ...{ node, api, real, evil },
    visitor: new Client(origin),
    async stop() {
      await node.stop();
      await real.close();
      await evil.close();
    },
  };
}

/** What a front end keeps, and what of it the start is told. */
export function newVerifier(): { verifier: string; challenge: string } {
  const verifier = randomBytes(32).toString("base64url");
  return { verifier, challenge: createHash("sha256").update(verifier).digest("base64url") };
}

/** Types of the newest entries of the audit log about a user, newest first. */
export async function auditOf({ node }: Pick<Federation, "node">, userId: string): Promise<string[]> {
  const rows = await inspect<{ type: string }>(
    node.databases[0] ?? "",
    "SELECT type FROM control.audit_log WHERE subject_id = $1 ORDER BY id DESC",
    [userId],
  );
  return rows.map(({ type }) => type);
}

/** Turns a user's second factor on; answers how to make its next code. */
export async function enrolTotp(user: Client): Promise<() => string> {
  const { body } = await user.post("/auth/mfa/totp/enroll", {});
  const { secret } = body as { secret: string };
  const codeAt = (steps: number) => new TOTP({ secret }).generate({ timestamp: Date.now() + steps * 30_000 });
  const verified = await user.post("/auth/mfa/totp/verify", { totp: codeAt(-1) });
  if (verified.status !== 200) throw new Error(`verify: ${JSON.stringify(verified.body)}`);
  return () => codeAt(0);
}
