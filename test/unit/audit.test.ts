import { expect, test } from "@jest/globals";
import { severeFindings } from "../security/audit.ts";

const advisory = (source: number, severity: string) => ({
  source,
  severity,
  title: "it leaks",
  url: "https://x",
});
const report = {
  vulnerabilities: {
    direct: { severity: "high", via: [advisory(1, "high"), advisory(2, "moderate")] },
    indirect: { severity: "high", via: ["direct"] },
    worse: { severity: "critical", via: [advisory(3, "critical")] },
  },
};

test("each severe advisory is a finding, once, unless it was accepted with a reason", () => {
  expect(severeFindings(report)).toEqual([
    "high: direct: it leaks (https://x)",
    "critical: worse: it leaks (https://x)",
  ]);
  expect(severeFindings(report, { "3": "only in tests" })).toHaveLength(1);
  expect(severeFindings({ vulnerabilities: {} })).toEqual([]);
});
