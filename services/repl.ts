import type { REPLServer } from "node:repl";
import { ServiceBroker } from "moleculer";
import { hideSecrets, readEnv } from "../mixins/process/env.ts";
import { loadEnvFile } from "../mixins/process/env-file.ts";
import { ReplLog, replLevel } from "../mixins/process/repl-log.ts";
import { brokerOptions } from "../moleculer.config.ts";

// What `npm run repl` runs: a node without services that joins the cluster and gives the operator Moleculer's REPL.
try {
  loadEnvFile((line) => console.warn(line));
  const env = readEnv({ ...process.env, NODE_ID: `repl-${process.pid}` });
  hideSecrets(process.env);
  if (env.NATS_URL === undefined)
    throw new Error(
      "NATS_URL is unset: an embedded Sangam is one process; start it with `npm start -- --repl`.",
    );
  env.LOG_LEVEL = replLevel(env.LOG_LEVEL);
  const log = new ReplLog();
  const broker = new ServiceBroker(brokerOptions(env, log));
  await broker.start();
  log.attach(broker.repl() as unknown as REPLServer);
} catch (error) {
  console.error(`The REPL did not start. ${(error as Error).message}`);
  process.exit(1);
}
