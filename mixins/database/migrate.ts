import { Migrator } from "@mikro-orm/migrations";
import { MikroORM } from "@mikro-orm/postgresql";
import { Logger, runMigrations } from "graphile-worker";
import pg from "pg";
import { controlMigrations } from "../../entities/migrations/control.ts";
import { shardMigrations } from "../../entities/migrations/shard.ts";

/** Any number: the same for every node, so that one migrates while the others wait. */
const migrationLock = 7_236_001;

const createRoles = `
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sangam_app') THEN CREATE ROLE sangam_app NOLOGIN; END IF;
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'sangam_platform') THEN CREATE ROLE sangam_platform NOLOGIN; END IF;
EXCEPTION WHEN unique_violation OR duplicate_object THEN NULL; -- another database's migration was faster
END $$;
GRANT sangam_app, sangam_platform TO CURRENT_USER;
GRANT USAGE ON SCHEMA public TO sangam_app, sangam_platform;`;

/**
 * Brings a database up to date, under an advisory lock: any number of nodes may start at once.
 * @param parts which tables live here; the control database may hold a shard too
 */
export async function migrate(url: string, parts: { control: boolean }): Promise<void> {
  const lock = new pg.Client({ connectionString: url });
  lock.on("error", () => undefined); // surfaces as the failure of the query in flight
  await lock.connect();
  try {
    await lock.query("SELECT pg_advisory_lock($1)", [migrationLock]);
    await lock.query(createRoles);
    // its errors are thrown; what it tells is not worth a line at each start
    await runMigrations({ connectionString: url, logger: new Logger(() => () => undefined) });
    if (parts.control) await run(url, "control_migrations", controlMigrations);
    await run(url, "shard_migrations", shardMigrations);
    await lock.query("SELECT moves.guard_tables()");
    // the feed must never fall into the default partition
    await lock.query("SELECT ensure_events_partitions()");
  } finally {
    await lock.end();
  }
}

async function run(url: string, tableName: string, list: typeof shardMigrations | typeof controlMigrations) {
  const orm = new MikroORM({
    clientUrl: url,
    extensions: [Migrator],
    discovery: { warnWhenNoEntities: false },
    entities: [],
    migrations: { tableName, migrationsList: [...list], snapshot: false, transactional: true },
    pool: { min: 0, max: 1 },
    logger: () => undefined,
  });
  try {
    await orm.migrator.up();
  } finally {
    await orm.close(true);
  }
}
