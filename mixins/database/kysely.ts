import { Kysely, PostgresAdapter, PostgresIntrospector, PostgresQueryCompiler } from "kysely";
import type { DatabaseConnection } from "kysely";
import type { PoolClient } from "pg";

/** A Kysely instance over the one connection of a unit of work; MikroORM speaks through it. */
export function kyselyOver(
  open: () => Promise<PoolClient>,
  translateError: (error: unknown) => unknown,
): never {
  const connection: DatabaseConnection = {
    async executeQuery(compiled) {
      const client = await open();
      try {
        const result = await client.query(compiled.sql, [...compiled.parameters]);
        return {
          rows: result.rows as never[],
          numAffectedRows: result.rowCount === null ? undefined : BigInt(result.rowCount),
        };
      } catch (error) {
        throw translateError(error);
      }
    },
    streamQuery() {
      throw new Error("Pipelined connections cannot stream: page by keyset");
    },
  };
  const nothing = () => Promise.resolve();
  const kysely = new Kysely<unknown>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createDriver: () => ({
        init: nothing,
        acquireConnection: () => Promise.resolve(connection),
        releaseConnection: nothing,
        beginTransaction: nothing,
        commitTransaction: nothing,
        rollbackTransaction: nothing,
        destroy: nothing,
      }),
    },
  });
  return kysely as never; // MikroORM's Transaction type is Kysely's, which only its own builder makes
}
