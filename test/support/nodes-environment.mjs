import Environment from "./environment.mjs";

/**
 * The environment for tests that run nodes. Jest loads what a test file imports anew for each file; a node is
 * started outside of that, of modules that are loaded once for a worker, and may so be shared by the files it runs.
 */
export default class NodesEnvironment extends Environment {
  async setup() {
    await super.setup();
    this.global.nodes = await import("./nodes.ts");
    // what a test throws inside a node is an error there too
    this.global.Error = Error;
  }
}
