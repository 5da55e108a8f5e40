import { rmSync } from "node:fs";
import { stopSharedNode } from "./nodes.ts";
import { testServer } from "./test-server.ts";

export default async function teardown(): Promise<void> {
  const running = testServer.running;
  if (!running) return;
  testServer.running = undefined;
  await stopSharedNode();
  await running.server.stop();
  rmSync(running.folder, { recursive: true, force: true });
}
