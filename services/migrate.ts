import { parseArgs } from "node:util";
import { startEmbeddedPostgres } from "../mixins/database/embedded-postgres.ts";
import { checkSchema, migrate } from "../mixins/database/migrate.ts";
import { readEnv, type Env } from "../mixins/process/env.ts";
import { loadEnvFile } from "../mixins/process/env-file.ts";

// What `npm run migrate` runs: brings all databases of the settings up to date, or says what they lack.
const usage = `Usage: npm run migrate [-- <options>]
  --check   changes nothing; says what is pending, with exit code 1 if anything is
  --force   runs breaking migrations although nodes of an older release run`;

try {
  loadEnvFile((line) => console.warn(line));
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  const { code, message } = error as { code?: string; message: string };
  console.error(code?.startsWith("ERR_PARSE_ARGS") ? `${message}\n${usage}` : message);
  process.exitCode = 1;
}

async function run(args: string[]): Promise<number> {
  const { values } = parseArgs({ args, options: { check: { type: "boolean" }, force: { type: "boolean" } } });
  const env = readEnv(process.env);
  return await withDatabases(env, async (urls) => {
    const acceptsNewer = env.ACCEPT_NEWER_SCHEMA;
    if (values.check) {
      const pending = await Promise.all(
        urls.map((url, index) => checkSchema(url, { control: index === 0, acceptsNewer })),
      );
      for (const line of pending.flat()) console.log(line);
      if (pending.flat().length > 0) return 1;
    } else
      // one after the other, so that what is told reads in order, and a failure leaves the later ones alone
      for (const [index, url] of urls.entries())
        await migrate(url, {
          ...{ control: index === 0, acceptsNewer, isForced: values.force ?? false },
          makesLogin: env.DATABASE_APP_URLS === undefined,
          tell: (line) => console.log(line),
        });
    console.log(`${urls.length === 1 ? "The database is" : `All ${urls.length} databases are`} up to date.`);
    return 0;
  });
}

/** The databases of the settings; the embedded server runs as long as `work` does. */
async function withDatabases<T>(env: Env, work: (urls: string[]) => Promise<T>): Promise<T> {
  const shards = env.DATABASE_SHARDS ?? [];
  if (env.DATABASE_URL !== undefined) return await work([env.DATABASE_URL, ...shards]);
  const server = await startEmbeddedPostgres(env.DATA_DIR, () => undefined);
  try {
    await server.createDatabase("sangam");
    return await work([server.url("sangam"), ...shards]);
  } finally {
    await server.stop();
  }
}
