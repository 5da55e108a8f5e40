import { chmodSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "@jest/globals";
import { requireWayTo } from "../../mixins/database/embedded/programs.ts";

test("a folder on the way that others may not enter is named, with what to do", () => {
  const closed = mkdtempSync(join(tmpdir(), "sangam-way-")); // mode 700
  const within = join(closed, "data");
  mkdirSync(within, { mode: 0o755 });
  try {
    expect(() => requireWayTo(within)).toThrow(`chmod o+x ${closed}`);
    chmodSync(closed, 0o711);
    expect(() => requireWayTo(within)).not.toThrow();
  } finally {
    rmSync(closed, { recursive: true });
  }
});
