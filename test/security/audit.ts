import { execFile } from "node:child_process";
import { pathToFileURL } from "node:url";

/** Advisories that do not reach Sangam, by their id, with the reason. */
const accepted: Record<string, string> = {};

interface Advisory {
  source: number;
  title: string;
  url: string;
  severity: string;
}
export interface AuditReport {
  vulnerabilities?: Record<string, { severity: string; via: (Advisory | string)[] }>;
  message?: string;
  error?: unknown;
}

/** Severe findings of `npm audit --json` that nobody has accepted, one line each. */
export function severeFindings(report: AuditReport, reasons: Record<string, string> = accepted): string[] {
  return Object.entries(report.vulnerabilities ?? {}).flatMap(([name, { via }]) =>
    via
      .filter((cause): cause is Advisory => typeof cause !== "string")
      .filter(({ severity }) => severity === "high" || severity === "critical")
      .filter(({ source }) => reasons[source] === undefined)
      .map(({ severity, title, url }) => `${severity}: ${name}: ${title} (${url})`),
  );
}

/** `npm run audit`: fails when a package has a severe advisory; says so loudly when the registry answers none. */
function run(): void {
  execFile("npm", ["audit", "--json"], { timeout: 120_000, maxBuffer: 64 * 1024 * 1024 }, (error, stdout) => {
    let report: AuditReport;
    try {
      report = JSON.parse(stdout) as AuditReport;
    } catch {
      report = { error: error?.message };
    }
    if (report.vulnerabilities === undefined) {
      console.error(
        "AUDIT SKIPPED: this registry answers no advisories.",
        report.message ?? report.error ?? "",
      );
      return;
    }
    const findings = severeFindings(report);
    console.log([...findings, `${findings.length} severe advisories`].join("\n"));
    process.exitCode = findings.length > 0 ? 1 : 0;
  });
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) run();
