import { URL } from "node:url";
import { Worker } from "node:worker_threads";

/**
 * A Jest reporter that ends the run, with the name of the file, when a file does not finish within `minutes`. Jest's own timeouts are
 * timers of the process that runs the file: one that loops for ever never gets to them. So this one is a thread's.
 */
export default class UnfinishedFiles {
  #thread;
  #running = new Map();
  #minutes;

  constructor(_globalConfig, { minutes = 10 } = {}) {
    this.#minutes = minutes;
  }

  onRunStart() {
    const workerData = { minutes: this.#minutes };
    this.#thread = new Worker(new URL("./unfinished-files.thread.mjs", import.meta.url), { workerData });
    this.#thread.unref();
    this.#thread.on("message", () => process.exit(1));
  }

  onTestFileStart({ path }) {
    this.#running.set(path, Date.now());
    this.#tell();
  }

  onTestFileResult({ path }) {
    this.#running.delete(path);
    this.#tell();
  }

  async onRunComplete() {
    await this.#thread?.terminate();
  }

  #tell() {
    // what nobody else would take away, see global-teardown.ts
    const folder = globalThis.sangamTestServer?.running?.folder;
    this.#thread?.postMessage({ running: [...this.#running], folder });
  }
}
