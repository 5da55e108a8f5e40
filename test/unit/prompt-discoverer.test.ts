import { afterEach, beforeEach, expect, jest, test } from "@jest/globals";
import { PromptDiscoverer } from "../../mixins/process/prompt-discoverer.ts";

let dropped: string[];
let discoverer: PromptDiscoverer;

beforeEach(() => {
  jest.useFakeTimers();
  dropped = [];
  const nodes = [
    { id: "me", local: true, available: true },
    { id: "core", local: false, available: true, seq: 1, instanceID: "i", heartbeat: () => undefined },
  ];
  discoverer = new PromptDiscoverer();
  Object.assign(discoverer, {
    logger: { warn: () => undefined },
    beat: () => Promise.resolve(),
    registry: {
      nodes: {
        toArray: () => nodes,
        get: (id: string) => nodes.find((node) => node.id === id),
        disconnected(id: string) {
          dropped.push(id);
          Object.assign(nodes[1] as object, { available: false });
        },
      },
    },
  });
  discoverer.startHeartbeatTimers();
});
afterEach(() => {
  discoverer.stopHeartbeatTimers();
  jest.useRealTimers();
});
const beat = () => discoverer.heartbeatReceived("core", { seq: 1, instanceID: "i" });

test("a node is dropped 2.5 to 2.75 s after its last heartbeat", () => {
  jest.advanceTimersByTime(10);
  beat();
  jest.advanceTimersByTime(2_490);
  expect(dropped).toEqual([]);
  jest.advanceTimersByTime(260);
  expect(dropped).toEqual(["core"]);
});

test("a node that beats stays", () => {
  for (let second = 0; second < 60; second++) {
    jest.advanceTimersByTime(1_500);
    beat();
  }
  expect(dropped).toEqual([]);
});

test("while this process itself stood still, nobody was silent", () => {
  jest.advanceTimersByTime(500);
  beat();
  // as after SIGSTOP: the steady clock went on, the timers did not
  const now = performance.now();
  jest.spyOn(performance, "now").mockImplementation(() => now + 30_000);
  discoverer.checkRemoteNodes();
  jest.restoreAllMocks();
  expect(dropped).toEqual([]);
});
