import type { EmbeddedServer } from "../../mixins/database/embedded-postgres.ts";

/** The run's PostgreSQL. On globalThis, because Jest loads this module once for each project's setup. */
export const testServer: { running?: { server: EmbeddedServer; folder: string } } = ((
  globalThis as { sangamTestServer?: object }
).sangamTestServer ??= {});
