import { chownSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { endLeftovers, killNaming } from "./leftovers.ts";
import { runProgram, type Programs } from "./programs.ts";
import { readLines, whyItEnded } from "./server-log.ts";

const unfinished = "postgres.new-";

/**
 * Makes the data directory, if there is none. It is made beside its place and moved there when it is whole: whoever dies
 * meanwhile leaves nothing that looks like one, and what is left is taken away here.
 * @param options.signal ends it
 * @throws Error saying why it cannot be made
 */
export async function makeCluster(
  dataDirectory: string,
  programs: Programs,
  options: {
    home: string;
    user: string;
    password: string;
    log: (line: string) => void;
    signal?: AbortSignal;
  },
): Promise<void> {
  const { home, user, password, log, signal } = options;
  for (const name of readdirSync(home).filter((entry) => entry.startsWith(unfinished))) {
    // initdb may outlive who started it, and would write on
    killNaming(name);
    await endLeftovers(join(home, name, "postgres"));
    rmSync(join(home, name), { recursive: true, force: true, maxRetries: 3 });
  }
  if (existsSync(join(dataDirectory, "PG_VERSION"))) return;
  const workshop = join(home, unfinished + randomUUID());
  const target = join(workshop, "postgres");
  const passwordFile = join(workshop, "password");
  try {
    mkdirSync(target, { recursive: true, mode: 0o700 });
    writeFileSync(passwordFile, `${password}\n`, { mode: 0o600 });
    const { uid, gid } = programs.user;
    if (uid !== undefined && gid !== undefined)
      for (const path of [workshop, target, passwordFile]) chownSync(path, uid, gid);
    const child = runProgram(
      programs.initdb,
      [
        ...[`--pgdata=${target}`, `--username=${user}`, `--pwfile=${passwordFile}`],
        ...["--auth=scram-sha-256", "--lc-messages=C"],
        ...["--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"],
      ],
      programs,
    );
    const abort = () => child.kill("SIGTERM");
    signal?.addEventListener("abort", abort, { once: true });
    const lines = readLines(child, log);
    const [code] = (await once(child, "close")) as [number | null];
    signal?.removeEventListener("abort", abort);
    signal?.throwIfAborted();
    if (code !== 0) throw new Error(`${dataDirectory} cannot be made: ${whyItEnded(lines())}.`);
    renameSync(target, dataDirectory);
  } finally {
    rmSync(workshop, { recursive: true, force: true, maxRetries: 3 });
  }
}
