import { execFileSync } from "node:child_process";
import { chmodSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { startProcess, type NodeProcess } from "../process.ts";

const commit = "ac0f496";
const root = resolve(fileURLToPath(import.meta.url), "../../../..");

/** Whether the repository's history reaches back to 0.1.0: a shallow clone or a tarball has none. */
export function hasRelease010(): boolean {
  try {
    execFileSync("git", ["cat-file", "-e", `${commit}^{commit}`], { cwd: root, stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** The code of release 0.1.0, with today's packages. */
export class Release010 {
  readonly #folder = mkdtempSync(join(tmpdir(), "sangam-0.1.0-"));

  constructor() {
    chmodSync(this.#folder, 0o755); // an embedded PostgreSQL runs as a user of its own when the tests run as root
    const archive = execFileSync(
      "git",
      ["archive", commit, "services", "mixins", "entities", "package.json", "moleculer.config.ts"],
      {
        cwd: root,
        maxBuffer: 64 * 1024 * 1024,
      },
    );
    execFileSync("tar", ["x", "-C", this.#folder], { input: archive });
    symlinkSync(join(root, "node_modules"), join(this.#folder, "node_modules"));
  }

  start(name: string, settings: Record<string, string>): Promise<NodeProcess> {
    const hooks = `--import ${new URL("./hooks.mjs", import.meta.url).href}`;
    return startProcess(name, { NODE_OPTIONS: hooks, ...settings }, join(this.#folder, "services/start.ts"));
  }

  end(): void {
    rmSync(this.#folder, { recursive: true });
  }
}
