import { kinds } from "../../mixins/records/kind/kinds.ts";
import type { ImportView } from "./imports.contract.ts";
import { lead } from "../../entities/lead.ts";
import { defaultKeysOf } from "../../mixins/records/importing/keys.ts";
import { defaultCountry } from "../../mixins/values/phone.ts";
import type { ImportOptions, ImportRecord } from "./imports.repository.ts";

/** An import as its organization sees it; of a list that shows some fields, those. */
export const importView = (row: ImportRecord): ImportView => ({
  id: row.id,
  kind: row.kind,
  fileName: row.file_name,
  status: row.status as ImportView["status"],
  isDryRun: row.is_dry_run,
  onDuplicate: row.on_duplicate,
  mapping: Object.fromEntries(row.mapping ?? []),
  options: optionsView(row),
  processed: row.processed,
  created: row.created,
  updated: row.updated,
  skipped: row.skipped,
  failed: row.failed,
  associated: row.associated,
  total: row.total,
  failure: row.failure,
  startedAt: row.started_at,
  finishedAt: row.finished_at,
  createdAt: row.created_at,
  version: row.version,
});

const optionsView = ({
  kind,
  options = {},
}: {
  kind: string;
  options?: ImportOptions;
}): ImportView["options"] => ({
  matchBy: options.matchBy ?? defaultKeysOf(kinds.get(kind) ?? lead),
  country: options.country ?? defaultCountry,
  currency: options.currency ?? null,
  delimiter: options.delimiter ?? null,
  encoding: options.encoding ?? null,
  values: options.values ?? {},
  suggestedValues: options.suggestedValues ?? {},
});
