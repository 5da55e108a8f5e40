import { clearLine, cursorTo } from "node:readline";
import type { REPLServer } from "node:repl";

const levels: Record<number, string> = {
  10: "TRACE",
  20: "DEBUG",
  30: "INFO",
  40: "WARN",
  50: "ERROR",
  60: "FATAL",
};

/**
 * Where the log goes while somebody types at a REPL: a short line for people on standard error, above the prompt, which is
 * then there again with what was typed. A destination as pino takes it.
 */
export class ReplLog {
  #repl: REPLServer | undefined;

  /** From now on lines keep clear of its prompt. */
  attach(repl: REPLServer): void {
    this.#repl = repl;
  }

  /** @param line one record, as JSON */
  write(line: string): void {
    const repl = this.#repl;
    const hasPrompt = repl !== undefined && process.stdout.isTTY;
    if (hasPrompt) {
      cursorTo(process.stdout, 0);
      clearLine(process.stdout, 0);
    }
    process.stderr.write(`${shorten(line)}\n`);
    if (hasPrompt) repl.displayPrompt(true);
  }
}

/** `12:03:11 WARN database: connection lost` of a record; of one that is none, the line itself. */
export function shorten(line: string): string {
  try {
    const { level, time, mod, msg, err } = JSON.parse(line) as {
      level: number;
      time: number;
      mod?: string;
      msg?: string;
      err?: { message?: string };
    };
    const said = [msg, err?.message].filter((text) => text !== undefined && text !== "").join(": ");
    const at = new Date(time).toTimeString().slice(0, 8);
    return `${at} ${levels[level] ?? level} ${mod === undefined ? "" : `${mod}: `}${said}`;
  } catch {
    return line.trimEnd();
  }
}

/** The level of a REPL's log: news of a process that works as it should are not worth the interruption. */
export const replLevel = <L extends string>(level: L): L | "warn" => (level === "info" ? "warn" : level);
