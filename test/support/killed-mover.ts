import { Database } from "../../mixins/database/database.ts";
import { moveOrganization } from "../../mixins/database/moves/move.ts";

// Moves an organization in a process of its own, and dies at a step: killed-mover.ts <urls> <organization> <to> <step>
const [urls = "[]", organizationId = "", to = "", last = ""] = process.argv.slice(2);
const databases = JSON.parse(urls) as string[];
const database = await Database.open(databases, { logicalShards: 16, poolSize: 2, onError: () => undefined });
await moveOrganization(databases, database.homes, {
  organizationId,
  to: Number(to),
  step: (step) => {
    if (step === last) process.kill(process.pid, "SIGKILL");
  },
});
await database.close();
