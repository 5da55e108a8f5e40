import { TestEnvironment } from "jest-environment-node";
import { isStray } from "../../mixins/jobs/stray-rejections.ts";

/**
 * Jest's environment for tests that run nodes. Jest loads what a test file imports anew for each file; a node is
 * started outside of that, of modules that are loaded once for a worker, and may so be shared by the files it runs.
 */
export default class Environment extends TestEnvironment {
  async setup() {
    await super.setup();
    this.global.nodes = await import("./nodes.ts");
    // what a test throws inside a node is an error there too
    this.global.Error = Error;
  }

  /** Nodes survive what Graphile Worker leaves behind; Jest, which takes their listener away, would fail the file that runs by then. */
  handleTestEvent(event, state) {
    if (event.name === "error" && event.promise && isStray(event.error))
      state.unhandledRejectionErrorByPromiseTarget.get(event.promise)?.delete(event.promise);
  }
}
