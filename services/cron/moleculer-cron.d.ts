declare module "moleculer-cron" {
  import type { ServiceSchema } from "moleculer";
  /** A mixin that runs each of the schema's `crons` while the service is started. */
  const mixin: ServiceSchema;
  export default mixin;
}
