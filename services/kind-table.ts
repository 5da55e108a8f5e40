import { kinds } from "../entities/kinds.ts";
import { tableSql } from "../mixins/records/kind/table-sql.ts";

// What `npm run -s kind-table <kind>` runs: prints the migration that makes the table of a new kind.
const [name = ""] = process.argv.slice(2);
const kind = kinds.get(name);
if (kind) process.stdout.write(tableSql(kind, kinds));
else {
  console.error(`There is no kind "${name}"; entities/kinds.ts has ${[...kinds.keys()].join(", ")}.`);
  process.exitCode = 1;
}
