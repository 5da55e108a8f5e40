import type { Round, Step } from "./round.ts";

const columns: [title: string, of: (steps: readonly Step[]) => string][] = [
  ["rounds", (steps) => String(steps.length)],
  ["acknowledged", (steps) => String(sum(steps, "acknowledged"))],
  ["repeated", (steps) => String(sum(steps, "repeated"))],
  ["lost", (steps) => String(sum(steps, "lost"))],
  ["doubled", (steps) => String(sum(steps, "doubled"))],
  ["jobs again", (steps) => String(sum(steps, "rerun"))],
  ["calls", (steps) => recoveryOf(steps, "calls")],
  ["feed", (steps) => recoveryOf(steps, "feed")],
  ["listeners", (steps) => recoveryOf(steps, "listeners")],
  ["cron", (steps) => recoveryOf(steps, "cron")],
];

/** A table in Markdown, a line each fault. Recovery is median/maximum in seconds of the longest in each round. */
export function table(rounds: readonly Round[]): string {
  const steps = rounds.flatMap((round) => round.steps);
  const byFault = Map.groupBy(steps, ({ fault }) => fault);
  const lines = [...byFault].map(([fault, theirs]) => [fault, ...columns.map(([, of]) => of(theirs))]);
  lines.sort(([a = ""], [b = ""]) => a.localeCompare(b));
  lines.push(["all", ...columns.map(([, of]) => of(steps))]);
  const heads = ["fault", ...columns.map(([title]) => title)];
  const rule = heads.map((_, index) => (index === 0 ? "---" : "---:"));
  return [heads, rule, ...lines].map((cells) => `| ${cells.join(" | ")} |`).join("\n");
}

const sum = (
  steps: readonly Step[],
  key: "acknowledged" | "repeated" | "lost" | "doubled" | "rerun",
): number => steps.reduce((total, step) => total + step[key], 0);

function recoveryOf(steps: readonly Step[], of: keyof Step["recovery"]): string {
  const seconds = steps.map(({ recovery }) => recovery[of] / 1000).sort((a, b) => a - b);
  const median = seconds[Math.floor(seconds.length / 2)] ?? 0;
  return `${median.toFixed(1)}/${(seconds.at(-1) ?? 0).toFixed(1)}`;
}
