import { expect, test } from "@jest/globals";
import { isConnectionLoss } from "../../mixins/database/pool.ts";
import { translate } from "../../mixins/database/sql-errors.ts";

const sqlError = (code: string) => Object.assign(new Error("of PostgreSQL"), { code });

// of "PostgreSQL Error Codes": the classes that tell of the server, not of the statement
test.each([
  ["53000", "insufficient_resources", "DATABASE_BUSY"],
  ["53100", "disk_full", "STORAGE_FULL"],
  ["53200", "out_of_memory", "DATABASE_BUSY"],
  ["53300", "too_many_connections", "DATABASE_UNAVAILABLE"],
  ["57000", "operator_intervention", "DATABASE_UNAVAILABLE"],
  ["57014", "query_canceled", "DATABASE_TIMEOUT"],
  ["57P01", "admin_shutdown", "DATABASE_UNAVAILABLE"],
  ["57P02", "crash_shutdown", "DATABASE_UNAVAILABLE"],
  ["57P03", "cannot_connect_now", "DATABASE_UNAVAILABLE"],
  ["57P04", "database_dropped", "DATABASE_UNAVAILABLE"],
  ["57P05", "idle_session_timeout", "DATABASE_UNAVAILABLE"],
  ["25P03", "idle_in_transaction_session_timeout", "DATABASE_UNAVAILABLE"],
  ["25P04", "transaction_timeout", "DATABASE_UNAVAILABLE"],
  ["58000", "system_error", "STORAGE_FAILED"],
  ["58030", "io_error", "STORAGE_FAILED"],
  ["25006", "read_only_sql_transaction", "DATABASE_READ_ONLY"],
])("%s %s may go well later: 503 %s, with the time to wait", (code, _name, type) => {
  const error = translate(sqlError(code)) as { code: number; data?: { retryAfterSeconds?: number } };
  expect(error).toMatchObject({ code: 503, type });
  if (code !== "57014") expect(error.data?.retryAfterSeconds).toBeGreaterThan(0);
});

test.each([
  ["53400", "configuration_limit_exceeded"],
  ["58P01", "undefined_file"],
  ["58P02", "duplicate_file"],
  ["F0000", "config_file_error"],
  ["XX000", "internal_error"],
  ["XX001", "data_corrupted"],
  ["XX002", "index_corrupted"],
])("%s %s goes well only when somebody mends something: it stays what it is", (code) => {
  const error = sqlError(code);
  expect(translate(error)).toBe(error);
  expect(isConnectionLoss(error)).toBe(false);
});
