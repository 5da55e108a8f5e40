import type { ImportView } from "./imports.contract.ts";
import { defaultCountry } from "../../mixins/values/phone.ts";
import type { ImportOptions, ImportRecord } from "./imports.repository.ts";
import { defaultMatchBy } from "./match.rules.ts";

/** An import as its organization sees it; of a list that shows some fields, those. */
export const importView = (row: ImportRecord): ImportView => ({
  id: row.id,
  fileName: row.file_name,
  status: row.status as ImportView["status"],
  isDryRun: row.is_dry_run,
  onDuplicate: row.on_duplicate,
  mapping: Object.fromEntries(row.mapping ?? []),
  options: optionsView(row.options),
  processed: row.processed,
  created: row.created,
  updated: row.updated,
  skipped: row.skipped,
  failed: row.failed,
  total: row.total,
  failure: row.failure,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  createdAt: row.created_at,
  version: row.version,
});

const optionsView = (options: ImportOptions = {}): ImportView["options"] => ({
  matchBy: options.matchBy ?? [...defaultMatchBy],
  country: options.country ?? defaultCountry,
  delimiter: options.delimiter ?? null,
  encoding: options.encoding ?? null,
  values: options.values ?? {},
  suggestedValues: options.suggestedValues ?? {},
});
