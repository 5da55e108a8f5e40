import { createHash, createHmac, pbkdf2Sync, randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import pg from "pg";

/** Who processes are to PostgreSQL: it owns nothing, and may take the roles of units of work and of workers. */
const loginRole = "sangam_login";
/** Errors of statements about roles that another database's start made at the same time. */
const races = new Set(["XX000", "23505", "42710"]);

/**
 * The roles that own nothing. Idempotent; changes nothing where nothing is to be changed, so that a database whose roles a DBA made
 * needs no more than the rights to its own.
 */
const createRoles = `
DO $$
DECLARE
  needed text;
BEGIN
  FOREACH needed IN ARRAY ARRAY['sangam_app', 'sangam_platform', 'sangam_worker'] LOOP
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = needed) THEN EXECUTE format('CREATE ROLE %I NOLOGIN', needed); END IF;
    IF NOT EXISTS (SELECT FROM pg_auth_members WHERE member = to_regrole(quote_ident(current_user)) AND roleid = needed::regrole AND set_option) THEN
      EXECUTE format('GRANT %I TO CURRENT_USER', needed);
    END IF;
  END LOOP;
  -- what PostgreSQL lets everybody do
  IF has_schema_privilege('sangam_app', 'public', 'CREATE') THEN REVOKE CREATE ON SCHEMA public FROM PUBLIC; END IF;
  IF has_database_privilege('sangam_app', current_database(), 'TEMPORARY') THEN
    EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
  END IF;
END $$;
GRANT USAGE ON SCHEMA public TO sangam_app, sangam_platform;`;

/** Makes the roles of units of work and of workers; of two databases that do so at once, one begins anew. */
export async function ensureRoles(client: pg.ClientBase): Promise<void> {
  await againAfterRaces(() => client.query(createRoles));
}

/**
 * Lets the workers' role into Graphile Worker's tables, which are its own and no one else's; they are under row-level security
 * without a policy. Runs after each of that library's migrations.
 */
export const admitWorkers = `
DO $$
DECLARE
  relation regclass;
BEGIN
  GRANT USAGE ON SCHEMA graphile_worker TO sangam_worker;
  FOR relation IN
    SELECT c.oid FROM pg_class c WHERE c.relnamespace = 'graphile_worker'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'S')
  LOOP
    IF (SELECT relkind FROM pg_class WHERE oid = relation) = 'S' THEN
      EXECUTE format('GRANT USAGE ON SEQUENCE %s TO sangam_worker', relation);
    ELSIF NOT has_table_privilege('sangam_worker', relation, 'DELETE') THEN
      EXECUTE format('GRANT SELECT, INSERT, UPDATE, DELETE ON %s TO sangam_worker', relation);
    END IF;
    IF (SELECT relrowsecurity FROM pg_class WHERE oid = relation)
      AND NOT EXISTS (SELECT FROM pg_policy WHERE polrelid = relation AND polname = 'sangam_worker') THEN
      EXECUTE format('CREATE POLICY sangam_worker ON %s TO sangam_worker USING (true) WITH CHECK (true)', relation);
    END IF;
  END LOOP;
  GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA graphile_worker TO sangam_worker;
END $$;`;

/**
 * The address a process works with: the owner's with the role that owns nothing. Its password derives from the owner's, so that
 * every node knows it, whichever starts first, and a new one comes with the owner's. An owner who is let in without a password is
 * followed by a login without one: nobody can guess what is not there.
 */
export function loginUrlOf(ownerUrl: string): string {
  const url = new URL(ownerUrl);
  url.username = loginRole;
  if (url.password !== "") url.password = derive(decodeURIComponent(url.password));
  return url.href;
}

const derive = (ownerPassword: string) =>
  createHmac("sha256", ownerPassword).update("sangam_login").digest("base64url");

/**
 * Makes sure that `loginUrlOf(ownerUrl)` opens this database, with the rights it should have and no others. PostgreSQL gets the
 * password as a SCRAM verifier only: statements may be logged. Nothing is changed where it opens already.
 * @throws Error saying what to do where the owner may not make roles
 */
export async function ensureLogin(client: pg.ClientBase, ownerUrl: string): Promise<void> {
  const login = new URL(loginUrlOf(ownerUrl));
  if ((await isReady(client)) && (await opens(login.href)) === undefined) return;
  const password = login.password === "" ? "NULL" : `'${scramVerifier(decodeURIComponent(login.password))}'`;
  try {
    await againAfterRaces(() =>
      client.query(`
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '${loginRole}') THEN CREATE ROLE ${loginRole}; END IF;
END $$;
ALTER ROLE ${loginRole} LOGIN NOINHERIT PASSWORD ${password};
GRANT sangam_app, sangam_platform, sangam_worker TO ${loginRole} WITH INHERIT FALSE, SET TRUE;`),
    );
  } catch (error) {
    throw new Error(
      `the role ${loginRole}, which processes work as, cannot be made: ${(error as Error).message}. Let the owner make roles, `
        + 'or make it by hand and set DATABASE_APP_URLS; see "Who connects" in docs/operations.md',
      { cause: error },
    );
  }
  const refusal = await opens(login.href);
  if (refusal)
    throw new Error(
      `the role ${loginRole}, which processes work as, is not let in: ${refusal.message}. Let pg_hba.conf admit it as it does the `
        + 'owner, or set DATABASE_APP_URLS; see "Who connects" in docs/operations.md',
    );
}

/** Whether the role is there with its memberships. */
async function isReady(client: pg.ClientBase): Promise<boolean> {
  const { rows } = await client.query<{ count: number }>(
    `SELECT count(DISTINCT roleid)::int FROM pg_auth_members
     WHERE member = to_regrole($1) AND set_option AND NOT inherit_option AND roleid = ANY ($2::regrole[])`,
    [loginRole, ["sangam_app", "sangam_platform", "sangam_worker"]],
  );
  return rows[0]?.count === 3;
}

/** Undefined when an address opens, else why it does not. */
async function opens(url: string): Promise<Error | undefined> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on("error", () => undefined);
  try {
    await client.connect();
    return undefined;
  } catch (error) {
    return error as Error;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/**
 * Makes sure that whoever an address names could do no harm behind row-level security, whatever statement got through.
 * @throws Error saying what it could do, or that it is not let in
 */
export async function requireHarmless(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 });
  client.on("error", () => undefined); // surfaces as the failure of the query in flight
  try {
    await client.connect();
    const { rows } = await client.query<{ name: string; why: string }>(
      `SELECT rolname AS name, concat_ws(' and ',
         CASE WHEN rolsuper THEN 'is a superuser' END, CASE WHEN rolbypassrls THEN 'bypasses row-level security' END,
         CASE WHEN rolcreaterole THEN 'may make roles' END,
         CASE WHEN EXISTS (SELECT FROM pg_class c WHERE c.relnamespace = to_regnamespace('public')
           AND pg_has_role(r.oid, c.relowner, 'MEMBER')) THEN 'owns tables, or may become who does' END,
         CASE WHEN has_table_privilege(r.oid, 'public.leads', 'SELECT') THEN 'has rights on tables without taking a role' END) AS why
       FROM pg_roles r WHERE rolname = session_user`,
    );
    const { name, why } = rows[0] ?? {};
    if (why)
      throw new Error(
        `processes must not work as ${name}, who ${why}; see "Who connects" in docs/operations.md`,
      );
  } finally {
    await client.end().catch(() => undefined);
  }
}

async function againAfterRaces(work: () => Promise<unknown>): Promise<void> {
  for (let tries = 1; ; tries++)
    try {
      await work();
      return;
    } catch (error) {
      if (!races.has((error as pg.DatabaseError).code ?? "") || tries === 10) throw error;
      await sleep(200 * Math.random());
    }
}

/** What PostgreSQL keeps of a password: see RFC 5803 and "SCRAM-SHA-256 Authentication" in its documentation. */
function scramVerifier(password: string): string {
  const salt = randomBytes(16);
  const iterations = 4096;
  const salted = pbkdf2Sync(password, salt, iterations, 32, "sha256");
  const keyOf = (name: string) => createHmac("sha256", salted).update(name).digest();
  const storedKey = createHash("sha256").update(keyOf("Client Key")).digest("base64");
  return `SCRAM-SHA-256$${iterations}:${salt.toString("base64")}$${storedKey}:${keyOf("Server Key").toString("base64")}`;
}
