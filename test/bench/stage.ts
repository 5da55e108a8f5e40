import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { startEmbeddedPostgres } from "../../mixins/database/embedded-postgres.ts";
import { migrate } from "../../mixins/database/migrate.ts";
import { freePort } from "../../mixins/process/ports.ts";
import type { Client } from "../support/client.ts";
import { inspect } from "../support/database.ts";
import { startRedisCluster } from "../support/redis.ts";
import { start, startSangam, stopAll, type Sangam } from "./processes.ts";

/** Sockets a user may have at one gateway. */
const socketsOfUser = 50;

/** Two gateways in processes of their own, as operators start them, over PostgreSQL, NATS and a Redis Cluster. */
export interface Stage {
  folder: string;
  databaseUrl: string;
  gateways: [Sangam, Sangam];
}

/**
 * Sets it up, calls `act` with it, and takes it down whatever comes.
 * @param options.hasCore whether a process of background work runs beside the gateways
 * @param options.profiles a folder for V8 profiles of the processes that end by themselves
 */
export async function onStage(
  options: { hasCore: boolean; profiles?: string },
  act: (stage: Stage) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "sangam-bench-"));
  chmodSync(folder, 0o755); // PostgreSQL runs as a user of its own when this runs as root
  const closers: (() => Promise<unknown>)[] = [() => stopAll()];
  try {
    const server = await startEmbeddedPostgres(folder, () => undefined);
    closers.push(() => server.stop());
    await server.createDatabase("bench");
    const databaseUrl = server.url("bench");
    await migrate(databaseUrl, { control: true });
    const redis = await startRedisCluster();
    closers.push(() => redis.stop());
    const natsPort = await freePort();
    start("nats", "nats-server", ["-a", "127.0.0.1", "-p", String(natsPort)], { folder });
    const settings = {
      DATABASE_URL: databaseUrl,
      NATS_URL: `nats://127.0.0.1:${natsPort}`,
      REDIS_URL: redis.url,
    };
    const startHere = (name: string, services: string) =>
      startSangam(folder, name, { ...settings, SERVICES: services }, options.profiles);
    if (options.hasCore) await startHere("core", "core");
    const gateways: [Sangam, Sangam] = [await startHere("one", "gateway"), await startHere("two", "gateway")];
    await act({ folder, databaseUrl, gateways });
  } finally {
    for (const close of closers) await close();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Lifts the limits of a trial, which has too few users for so many sockets, from all organizations. */
export async function makeEnterprises(databaseUrl: string): Promise<void> {
  await inspect(databaseUrl, "UPDATE control.organizations SET plan = 'enterprise', updated_at = now()");
  await sleep(2_000); // processes see the change within a second
}

/** Tokens for `count` sockets of an organization at one gateway, of as many managers as that takes. */
export async function tokensFor(admin: Client, count: number): Promise<string[]> {
  const tokens: string[] = [];
  while (tokens.length < count) {
    const most = Math.ceil((count - tokens.length) / socketsOfUser);
    const users = await Promise.all(
      Array.from({ length: Math.min(4, most) }, () => admin.addUser("manager")),
    );
    for (const { token } of users) tokens.push(...new Array<string>(socketsOfUser).fill(token ?? ""));
  }
  return tokens.slice(0, count);
}

export const percentile = (values: number[], share: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? NaN;
export const ms = (value: number): string => `${value.toFixed(1)} ms`;
