import { readFileSync } from "node:fs";
import { parseEnv } from "node:util";
import { variables } from "./env.ts";

/**
 * Takes the settings of a `.env` file into the environment, where they are not set yet, if there is such a file. Names in it that are
 * none of ours and look like one of ours are told: what is misspelt would otherwise change nothing, in silence.
 * @param warn hears a line for each
 */
export function loadEnvFile(warn: (line: string) => void, file = ".env"): void {
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
    throw error;
  }
  process.loadEnvFile(file);
  for (const line of misspelt(Object.keys(parseEnv(text)))) warn(line);
}

/** A line for each of these names that is no setting and resembles one. */
export function misspelt(names: readonly string[]): string[] {
  const known = Object.keys(variables);
  return names
    .filter((name) => !known.includes(name))
    .flatMap((name) => {
      const meant = nearest(name.toUpperCase(), known);
      return meant === undefined
        ? []
        : [`.env: ${name} is no setting and changes nothing. Did you mean ${meant}?`];
    });
}

/** Slips of the pen in short names, and in long ones. */
const mostSlips = (name: string): number => (name.length < 8 ? 1 : 2);

function nearest(name: string, known: readonly string[]): string | undefined {
  const slips = known.map((one) => ({ one, count: slipsBetween(name, one) }));
  const [best] = slips.sort((a, b) => a.count - b.count);
  return best && best.count <= mostSlips(best.one) ? best.one : undefined;
}

/**
 * Letters that were left out, added, replaced or swapped with their neighbour, from one word to the other (optimal string
 * alignment).
 */
function slipsBetween(from: string, to: string): number {
  let [beforeLast, last]: [number[], number[]] = [[], Array.from({ length: to.length + 1 }, (_, at) => at)];
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const isSame = from[i - 1] === to[j - 1];
      let least = Math.min(
        (last[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (last[j - 1] as number) + (isSame ? 0 : 1),
      );
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1])
        least = Math.min(least, (beforeLast[j - 2] as number) + 1);
      row.push(least);
    }
    [beforeLast, last] = [last, row];
  }
  return last[to.length] as number;
}
