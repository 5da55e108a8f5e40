import { afterAll, beforeAll, expect, test } from "@jest/globals";
import type { SignedIn } from "../../services/identity/identity.contract.ts";
import { inspect, proveEmail } from "../support/database.ts";
import { startDnsServer, type DnsServer } from "../support/dns-server.ts";
import { metaOf, newEmail, refusal } from "../support/identity.ts";
import { startTestNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let dns: DnsServer;

beforeAll(async () => {
  dns = await startDnsServer();
  node = await startTestNode({ SERVICES: "identity", DNS_SERVERS: dns.address });
});
afterAll(async () => {
  await node.stop();
  dns.close();
});

async function register(): Promise<SignedIn> {
  const person = { name: "Asha", email: newEmail(), password: "correct-horse-battery" };
  return node.call("identity.register", { organizationName: "Acme", ...person });
}
const prove = ({ user }: SignedIn) => proveEmail(node.databases[0], user.id);
const verify = (who: SignedIn) => node.call("identity.verifyDomain", {}, metaOf(who));
const claim = (who: SignedIn, domain: string | null) =>
  node.call("identity.updateOrganization", { domain }, metaOf(who));

test("a domain is proved by a TXT record, by one of the organizations that claim it, until it is changed", async () => {
  const [owner, other] = [await register(), await register()];
  await expect(verify(owner)).rejects.toEqual(refusal(403, "EMAIL_NOT_VERIFIED"));
  await prove(owner);
  await prove(other);
  await expect(verify(owner)).rejects.toEqual(refusal(409, "DOMAIN_MISSING"));
  const domain = "claimed.example";
  const claimed = await claim(owner, domain);
  expect(claimed).toMatchObject({
    domainVerifiedAt: null,
    domainVerification: { name: `_sangam.${domain}`, value: `sangam-organization=${owner.organization.id}` },
  });
  const theirs = await claim(other, domain);
  const records = [claimed, theirs].map(({ domainVerification }) => domainVerification?.value as string);

  await expect(verify(owner)).rejects.toMatchObject({
    type: "DOMAIN_NOT_VERIFIED",
    message: expect.stringContaining(records[0] as string) as unknown,
  });
  dns.texts.set(`_sangam.${domain}`, ["v=spf1 -all", records[0] as string]);
  await expect(verify(other)).rejects.toEqual(refusal(409, "DOMAIN_NOT_VERIFIED"));
  const proved = await verify(owner);
  expect(proved.domainVerifiedAt).toEqual(expect.any(String));
  expect((await verify(owner)).version).toBe(proved.version);
  dns.texts.set(`_sangam.${domain}`, records);
  await expect(verify(other)).rejects.toEqual(refusal(409, "DOMAIN_TAKEN"));

  expect(await claim(owner, "changed.example")).toMatchObject({ domainVerifiedAt: null });
  expect((await verify(other)).domainVerifiedAt).toEqual(expect.any(String));
  const [entry] = await inspect(
    node.databases[0] as string,
    "SELECT count(*)::int AS count FROM control.audit_log WHERE type = 'organization.domain_verified'",
  );
  expect(entry).toEqual({ count: 2 });
});

test("a name server that cannot tell proves nothing, and is asked again", async () => {
  const admin = await register();
  await prove(admin);
  const { domainVerification } = await claim(admin, "broken.example");
  const { name, value } = domainVerification as { name: string; value: string };
  dns.texts.set(name, "fails");
  await expect(verify(admin)).rejects.toEqual(refusal(503, "DNS_UNAVAILABLE"));
  dns.texts.set(name, [value]);
  expect((await verify(admin)).domainVerifiedAt).toEqual(expect.any(String));
});
