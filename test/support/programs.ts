import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";

/**
 * Makes sure a server program is there: from the PATH, or installed with apt when root on Debian.
 * @throws Error saying what to install
 */
export function requireProgram(name: string): void {
  if (spawnSync("sh", ["-c", `command -v ${name}`]).status === 0) return;
  if (process.getuid?.() !== 0 || !existsSync("/etc/debian_version"))
    throw new Error(
      `The tests need ${name} on the PATH. Install it (Debian: apt-get install ${name}) and run them again.`,
    );
  console.log(`Installing ${name} with apt …`);
  const install = `apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends ${name}`;
  const { status, stderr } = spawnSync("sh", ["-c", install], { encoding: "utf8" });
  if (status !== 0) throw new Error(`apt could not install ${name}: ${stderr.trim().split("\n").at(-1)}`);
}
