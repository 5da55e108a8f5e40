import type { ServiceBroker } from "moleculer";
import { systemMeta } from "../mixins/access/principal.ts";
import type { Meta } from "../mixins/contract/meta.ts";
import { errorType } from "../mixins/contract/errors.ts";
import type { Result } from "./contracts.ts";
import { demoLeads, demoTeam } from "./seed-data.ts";

/** Password of every user of the demo organization. */
export const demoPassword = "sangam-demo-2026";

/**
 * Makes the demo organization, a user of each role, an assignment pool and a few hundred leads, through the
 * actions clients use. Their names come from a fixed seed: every installation gets the same demo. Each step
 * may be repeated, so a start that died on the way is finished by the next; leads come last and mean it is done.
 */
export async function seedDemo(broker: ServiceBroker): Promise<{ email: string; password: string }> {
  const [admin, ...others] = demoTeam;
  const login = { email: admin.email, password: demoPassword };
  await broker.waitForServices(["identity", "leads"], 10_000);
  const isThere: boolean = await broker.call(
    "identity.hasAccount",
    { email: login.email },
    { meta: systemMeta("") },
  );
  let signedIn: Result<"identity.register">;
  try {
    signedIn = isThere
      ? await broker.call("identity.login", login)
      : await broker.call("identity.register", {
          organizationName: "Sangam Demo",
          name: admin.name,
          ...login,
        });
  } catch (error) {
    // somebody made the demo their own, or wants none
    if (isOneOf(error, "INVALID_CREDENTIALS", "MFA_REQUIRED", "REGISTRATION_CLOSED")) return login;
    throw error;
  }
  const meta: Meta = { organizationId: signedIn.organization.id, userId: signedIn.user.id, role: "admin" };
  const first: Result<"leads.list"> = await broker.call("leads.list", { limit: 1 }, { meta });
  if (first.data.length > 0) return login;

  const repIds: string[] = [];
  for (const { name, email, role } of others) {
    await unless("EMAIL_TAKEN", () =>
      broker.call("identity.createUser", { name, email, role, password: demoPassword }, { meta }),
    );
    const found: Result<"identity.listUsers"> = await broker.call(
      "identity.listUsers",
      { filter: { email } },
      { meta },
    );
    if (role === "sales_rep") repIds.push(...found.data.map((user) => user.id));
  }
  const members = repIds.map((userId) => ({ userId }));
  await unless("POOL_NAME_TAKEN", () =>
    broker.call("leads.createPool", { name: "Inbound", strategy: "round_robin", members }, { meta }),
  );
  await broker.call("leads.bulkCreate", { items: demoLeads(300) }, { meta });
  return login;
}

const isOneOf = (error: unknown, ...types: string[]) => types.includes(errorType(error) ?? "");

async function unless(type: string, attempt: () => Promise<unknown>): Promise<void> {
  try {
    await attempt();
  } catch (error) {
    if (!isOneOf(error, type)) throw error;
  }
}
