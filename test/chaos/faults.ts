import { setTimeout } from "node:timers/promises";
import { eventually } from "../support/eventually.ts";
import type { Cluster, Member, Role } from "./cluster.ts";
import type { Seeded } from "./seeded.ts";

/** What breaks, and how it comes back. */
export interface Fault {
  name: string;
  /**
   * Breaks something and mends it again.
   * @param say notes what was chosen, for the report of a failing round
   */
  run(stage: {
    cluster: Cluster;
    seeded: Seeded;
    isShort: boolean;
    say: (what: string) => void;
  }): Promise<void>;
}
type Stage = Parameters<Fault["run"]>[0];

/** Leases of actors, worker pools and the cron leader end after 10 s. */
const leaseMs = 10_000;

function victim({ cluster, seeded, say }: Stage, role: Role): Member {
  const member = seeded.pick(cluster.of(role));
  say(member.name);
  return member;
}

function redisOf({ cluster: { redis } }: Stage) {
  if (!redis) throw new Error("This cluster has no Redis");
  return redis;
}

async function ended({ process: { child } }: Member): Promise<void> {
  await eventually(() => child.exitCode !== null || child.signalCode !== null, 60_000);
}

async function kill({ cluster, seeded, say }: Stage, member: Member): Promise<void> {
  const awayMs = seeded.between(200, 4_000);
  say(`back after ${awayMs} ms`);
  member.process.kill("SIGKILL");
  await ended(member);
  await setTimeout(awayMs);
  await cluster.revive(member);
}

async function freeze({ say }: Stage, member: Member, forMs: number): Promise<void> {
  say(`for ${forMs} ms`);
  member.process.kill("SIGSTOP");
  try {
    await setTimeout(forMs);
  } finally {
    member.process.kill("SIGCONT");
  }
}

const killed = (role: Role, a: string): Fault => ({
  name: `kill -9 ${a}`,
  run: (stage) => kill(stage, victim(stage, role)),
});
/** Shorter than its leases: nobody takes its work. */
const frozenShortly = (role: Role): Fault => ({
  name: `SIGSTOP a ${role}, 3 to 8 s`,
  run: (stage) => freeze(stage, victim(stage, role), stage.seeded.between(3_000, 8_000)),
});
const frozenLong = (role: Role): Fault => ({
  name: `SIGSTOP a ${role}, 30 s`,
  run: (stage) => freeze(stage, victim(stage, role), stage.isShort ? leaseMs + 2_000 : 30_000),
});
const stopped = (role: Role): Fault => ({
  name: `SIGTERM a ${role} under load`,
  async run(stage) {
    const member = victim(stage, role);
    const code = await member.process.stop();
    if (code !== 0) throw new Error(`${member.name} ended with ${code} at SIGTERM`);
    await stage.cluster.revive(member);
  },
});
const blocked = (role: Role): Fault => ({
  name: `event loop of a ${role} blocked 20 s`,
  async run(stage) {
    victim(stage, role).process.kill("SIGUSR2");
    await setTimeout(blockMs(stage.isShort));
  },
});
export const blockMs = (isShort: boolean): number => (isShort ? 5_000 : 20_000);

/** One direction of a place's way to a server: swallowed and then cut, or held back and delivered late. */
const partitioned = (role: Role | "leader", server: "postgres" | "nats"): Fault => ({
  name: `${role === "leader" ? "cron leader" : role} to ${server === "nats" ? "NATS" : "PostgreSQL"} one way, 20 s`,
  async run(stage) {
    const { cluster, seeded, isShort, say } = stage;
    const member = role === "leader" ? await cluster.leader() : victim(stage, role);
    const proxy = member[server];
    const direction = seeded.pick(["up", "down"] as const);
    const isLost = seeded.pick([true, false]);
    say(`${member.name} ${direction}, ${isLost ? "lost" : "late"}`);
    if (isLost) proxy.blackhole(direction);
    else proxy.pause(direction);
    await setTimeout(isShort ? 6_000 : 20_000);
    proxy.resume();
    // a stream that lacks bytes is no TCP
    if (isLost) proxy.cut();
  },
});

export const faults: readonly Fault[] = [
  killed("core", "a core"),
  killed("worker", "a worker"),
  killed("gateway", "a gateway"),
  { name: "kill -9 the cron leader", run: async (stage) => kill(stage, await stage.cluster.leader()) },
  frozenShortly("core"),
  frozenLong("core"),
  frozenShortly("worker"),
  frozenLong("worker"),
  frozenLong("gateway"),
  stopped("core"),
  stopped("worker"),
  stopped("gateway"),
  stopped("cron"),
  blocked("core"),
  blocked("worker"),
  {
    name: "two cron leaders: one stopped, resumed when another leads",
    async run(stage) {
      const { cluster, say } = stage;
      const first = await cluster.leader();
      say(first.name);
      first.process.kill("SIGSTOP");
      try {
        await eventually(async () => (await cluster.leader()) !== first, 30_000);
      } finally {
        first.process.kill("SIGCONT");
      }
    },
  },
  {
    name: "NATS killed and restarted",
    run: ({ cluster, seeded, isShort }) => cluster.restartNats(seeded.between(0, isShort ? 1_000 : 8_000)),
  },
  {
    name: "PostgreSQL connections terminated mid-commit",
    async run({ cluster, seeded, isShort }) {
      const until = performance.now() + (isShort ? 2_000 : 6_000);
      while (performance.now() < until) {
        await cluster.query(
          `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
           WHERE datname = 'sangam' AND pid <> pg_backend_pid() AND application_name LIKE 'sangam%'
             AND (state IN ('active', 'idle in transaction') OR random() < 0.05)`,
        );
        await setTimeout(seeded.between(5, 150));
      }
    },
  },
  {
    name: "PostgreSQL restarted",
    run: ({ cluster, seeded }) => cluster.restartPostgres("stop", seeded.between(0, 3_000)),
  },
  {
    name: "PostgreSQL killed, recovers from its log",
    run: ({ cluster, seeded }) => cluster.restartPostgres("crash", seeded.between(0, 3_000)),
  },
  {
    name: "Redis master killed",
    async run(stage) {
      // any key; which master holds it is chosen with it
      const port = await redisOf(stage).killMaster(`{${stage.seeded.next()}}`);
      stage.say(`port ${port}`);
      await setTimeout(stage.isShort ? 3_000 : 6_000);
    },
  },
  {
    name: "Redis FLUSHALL",
    async run(stage) {
      const flushes = redisOf(stage)
        .clients()
        .map((client) => client.flushall());
      await Promise.allSettled(flushes); // replicas refuse
    },
  },
  {
    name: "all of Redis gone, back empty",
    async run(stage) {
      const redis = redisOf(stage);
      await redis.stop();
      await setTimeout(stage.seeded.between(2_000, stage.isShort ? 3_000 : 10_000));
      await redis.start();
    },
  },
  partitioned("core", "postgres"),
  partitioned("core", "nats"),
  partitioned("worker", "postgres"),
  partitioned("leader", "postgres"),
  {
    name: "clock of one node 5 min ahead",
    async run(stage) {
      const { cluster, seeded, isShort } = stage;
      const member = victim(stage, seeded.pick(["core", "worker", "gateway", "cron"]));
      await member.process.stop();
      await cluster.revive(member, { CLOCK_SHIFT_MS: "300000" });
      await setTimeout(isShort ? 3_000 : 10_000);
      await member.process.stop();
      await cluster.revive(member);
    },
  },
];
