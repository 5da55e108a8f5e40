import { TestEnvironment } from "jest-environment-node";
import { isStray } from "../../mixins/jobs/stray-rejections.ts";

/**
 * Jest's environment for every test. Nodes survive what Graphile Worker leaves behind; Jest, which takes their listener
 * away, would fail whichever file the worker runs by then.
 */
export default class Environment extends TestEnvironment {
  handleTestEvent(event, state) {
    if (event.name === "error" && event.promise && isStray(event.error))
      state.unhandledRejectionErrorByPromiseTarget.get(event.promise)?.delete(event.promise);
  }
}
