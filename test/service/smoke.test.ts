import { expect, test } from "@jest/globals";
import { startTestNode } from "../support/node.ts";
test("a node starts and stops", async () => {
  const node = await startTestNode({ SERVICES: "events" });
  expect(node.services).toEqual(["events"]);
  await node.stop();
});
