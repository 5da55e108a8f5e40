import { parseArgs } from "node:util";
import { Database } from "../mixins/database/database.ts";
import { abandonMove, moveOrganization } from "../mixins/database/moves/move.ts";
import { listHomes, verifyOrganization } from "../mixins/database/moves/report.ts";
import { isUuid } from "../mixins/database/statement.ts";
import { readEnv } from "../mixins/process/env.ts";
import { loadEnvFile } from "../mixins/process/env-file.ts";

// What `npm run shards` runs: which database each organization lives in, and moves from one to another.
const usage = `Usage: npm run shards -- <command>
  list                                    databases and the organizations in them
  show <organization>                     where it lives, and how far a move is
  verify <organization>                   looks whether it is in one place, with a feed without holes
  move <organization> --to <database>     moves it while it works; call again after a failure
       --pause <milliseconds>             longest time for which it may not write, default 5000, at most 8000
       --keep                             leaves its rows, unseen, in the old database
  abandon <organization>                  takes back a move whose mover died
<database> is 0 for DATABASE_URL, 1 for the first of DATABASE_SHARDS and so on.`;

try {
  loadEnvFile((line) => console.warn(line));
  process.exitCode = await run(process.argv.slice(2));
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}

async function run(args: string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args,
    allowPositionals: true,
    options: { to: { type: "string" }, pause: { type: "string" }, keep: { type: "boolean" } },
  });
  const [command, organizationId = ""] = positionals;
  const known = ["list", "show", "verify", "move", "abandon"];
  if (!command || !known.includes(command) || (command !== "list" && !isUuid(organizationId))) {
    console.error(usage);
    return 2;
  }
  const env = readEnv(process.env);
  if (env.DATABASE_URL === undefined)
    throw new Error("DATABASE_URL is unset: an embedded Sangam has one database of its own.");
  const urls = [env.DATABASE_URL, ...(env.DATABASE_SHARDS ?? [])];
  const database = await Database.open(urls, {
    logicalShards: env.LOGICAL_SHARDS,
    poolSize: 2,
    appUrls: env.DATABASE_APP_URLS,
    migrate: env.MIGRATE,
    acceptsNewer: env.ACCEPT_NEWER_SCHEMA,
    onError: () => undefined,
  });
  try {
    switch (command) {
      case "list":
        return tell(await listHomes(database));
      case "show":
        return tell(await listHomes(database, organizationId));
      case "verify":
        return tell(await verifyOrganization(urls, database, organizationId));
      case "abandon":
        await abandonMove(urls, database.homes, organizationId);
        return 0;
      default:
        await moveOrganization(urls, database.homes, {
          organizationId,
          to: wholeNumber("--to", values.to),
          pauseMs: wholeNumber("--pause", values.pause ?? "5000"),
          isKept: values.keep ?? false,
          step: (step, told) => console.log(told === undefined ? step : `${step}: ${told}`),
        });
        return 0;
    }
  } finally {
    await database.close();
  }
}

function tell({ lines, isWell }: { lines: string[]; isWell: boolean }): number {
  for (const line of lines) console.log(line);
  return isWell ? 0 : 1;
}

function wholeNumber(option: string, text: string | undefined): number {
  if (text === undefined || !/^\d{1,6}$/.test(text))
    throw new Error(`${option} takes a whole number.\n${usage}`);
  return Number(text);
}
