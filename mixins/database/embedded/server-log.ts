import type { ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";

/** What a program said last, in lines; few are enough to tell why it ended. */
const mostLines = 60;

/** Hands each line that a program writes to `log`; answers the last of them when it is asked. */
export function readLines(child: ChildProcess, log: (line: string) => void): () => readonly string[] {
  const last: string[] = [];
  for (const stream of [child.stdout, child.stderr])
    if (stream)
      createInterface({ input: stream }).on("line", (line) => {
        last.push(line);
        if (last.length > mostLines) last.shift();
        log(line);
      });
  return () => last;
}

/** Whether the lines tell of a full disk, or of a quota that is used up. */
export const tellsOfFullStorage = (lines: readonly string[]): boolean =>
  lines.some((line) => /No space left on device|Disk quota exceeded/.test(line));

/** Why a program of PostgreSQL gave up, in its own words, without a full stop. */
export function whyItEnded(lines: readonly string[]): string {
  if (tellsOfFullStorage(lines)) return "no space is left on the device";
  const grave = lines.findLast((line) => /(FATAL|PANIC|initdb: error|error): /.test(line));
  const last = lines.slice(-3).join(" ");
  return (grave ?? (last === "" ? "it said nothing" : last))
    .replace(/^.*?(FATAL|PANIC|error): +/, "")
    .replace(/\.$/, "");
}
