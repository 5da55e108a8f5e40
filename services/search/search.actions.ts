import { createHash } from "node:crypto";
import { can, sightOf, type Principal } from "../../mixins/access/principal.ts";
import type { UnitOfWork } from "../../mixins/database/unit-of-work.ts";
import { pageBytes } from "../../mixins/database/statement.ts";
import { mostFound } from "../../mixins/records/finding/finding.ts";
import { columnOf, matchConditions, Values } from "../../mixins/records/finding/listing.ts";
import { pageStatement } from "../../mixins/records/finding/page.ts";
import { visibleTo } from "../../mixins/records/handlers/crud.ts";
import type { AnyKind } from "../../mixins/records/kind/kind.ts";
import { kinds } from "../../mixins/records/kind/kinds.ts";
import type { Cache } from "../../mixins/redis/cache.ts";
import type { Ctx, Result } from "../contracts.ts";
import { namesStage, readQuery, type Asked } from "./query.rules.ts";
import { hitOf, nearest, searchedFields, wordsOf } from "./ranking.rules.ts";
import type { Found } from "./search.contract.ts";

/** Records of one kind that are ranked: those that match and were changed last. */
const mostRanked = 200;
/** Records that the index answers, where all of them are seen. */
const mostMet = 1_000;
/** Records whose words may be what was meant. */
const mostLooked = 300;

/** All of an organization's answers go stale together. */
export const searchTag = "records";

/** Records of all kinds that the caller may read and sees, the best first; answers are kept for some minutes, until a record changes. */
export async function search(
  ctx: Ctx<"search.search">,
  cache: Cache<Found>,
): Promise<Result<"search.search">> {
  const start = performance.now();
  const { principal } = ctx.locals;
  const { q, kinds: wanted, limit } = ctx.params;
  const readable = [...kinds.values()].filter(
    (kind) =>
      can(principal, `${kind.plural}:read`)
      && searchedFields(kind).length > 0
      && kind.listing.finding !== undefined
      && (wanted?.includes(kind.name) ?? true),
  );
  const asker = [seenBy(principal), readable.map(({ name }) => name), q, limit];
  const key = {
    organizationId: principal.organizationId,
    tag: searchTag,
    id: createHash("sha256").update(JSON.stringify(asker)).digest("base64url"),
  };
  const found = await cache.get(key, () => find(ctx, readable));
  return { ...found, tookMs: Math.round((performance.now() - start) * 10) / 10 };
}

/** What an answer depends on besides what was asked: whose records are seen, and who `me` is. */
function seenBy(principal: Principal): unknown {
  const sight = sightOf(principal);
  return [principal.userId, sight === "all" ? "all" : [[...sight.assignees].sort(), sight.unassigned]];
}

async function find(ctx: Ctx<"search.search">, readable: readonly AnyKind[]): Promise<Found> {
  const { principal, tx } = ctx.locals;
  const { q, limit } = ctx.params;
  const stages = namesStage(q) ? await stagesIn(tx) : [];
  const asked = readQuery(q, readable, {
    ...{ userId: principal.userId, timeZone: tx.timeZone },
    stagesOf: (name) =>
      stages
        .filter((stage) => stage.kind === name || stage.name.toLowerCase() === name.toLowerCase())
        .map(({ id }) => id),
  });
  const words = wordsOf(asked[0]?.words ?? "");
  const pages = await Promise.all(asked.map((one) => rowsOf(tx, principal, one)));
  const ranked = pages
    .flatMap(({ kind, rows }) =>
      rows.map((row) => ({ hit: hitOf(kind, row, words), changedAt: row.updated_at as string })),
    )
    .sort((a, b) => b.hit.score - a.hit.score || (a.changedAt < b.changedAt ? 1 : -1));
  const facets = pages
    .filter(({ rows }) => rows.length > 0)
    .map(({ kind, rows, hasMore }): [string, Found["facets"]["kind"][string]] => [
      kind.name,
      hasMore ? { atLeast: rows.length } : rows.length,
    ]);
  const meant =
    ranked.length === 0 && words.length > 0 ? await meantBy(tx, principal, asked, words) : undefined;
  return {
    data: ranked.slice(0, limit).map(({ hit }) => hit),
    facets: { kind: Object.fromEntries(facets) },
    ...(meant !== undefined && { didYouMean: meant }),
  };
}

interface Stage {
  id: string;
  name: string;
  kind: string;
}
async function stagesIn(tx: UnitOfWork): Promise<Stage[]> {
  const rows = await tx.query<{ stages: Stage[] }>({
    name: "stages_to_search",
    text: "SELECT stages FROM pipelines WHERE deleted_at IS NULL",
  });
  return rows.flatMap(({ stages }) => stages);
}

type Row = Record<string, unknown> & { id: string };

/** The records of one kind that match, those that were changed last first. */
async function rowsOf(tx: UnitOfWork, principal: Principal, asked: Asked) {
  const statement = statementOf(asked, principal, tx.timeZone);
  const { rows, isCut } = await tx.queryWithin<Row>(statement);
  return { kind: asked.kind, rows: rows.slice(0, mostRanked), hasMore: isCut || rows.length > mostRanked };
}

/**
 * Words are asked of the kind's index, which is never walked to the end: of what very many records match, it is as many as it meets
 * first. Without words it is the kind's list.
 */
function statementOf({ kind, words, filter }: Asked, principal: Principal, timeZone: string) {
  const fields = [...new Set([...kind.title, ...searchedFields(kind)])];
  const visible = visibleTo({ kind }, principal);
  if (words === "") {
    const order = { sort: "-updatedAt", limit: mostRanked, count: false } as const;
    return pageStatement(kind.listing, { ...order, filter, timeZone, fields }, visible);
  }
  const values = new Values();
  const base = visible(values);
  const { conditions, find } = matchConditions(kind.listing, { q: words, filter }, values, timeZone);
  // who sees a part sees few of those that are met first
  const most = sightOf(principal) === "all" ? mostMet : mostFound;
  const ids = `id = ANY ((SELECT ${find?.(most) ?? "NULL"})::uuid[])`;
  return {
    text: `WITH met AS MATERIALIZED (SELECT ${["id", "updated_at", ...fields.map(columnOf)].join(", ")} FROM ${kind.table}
        WHERE ${[...base, ids, ...conditions].join(" AND ")})
      SELECT * FROM met ORDER BY updated_at DESC, id DESC LIMIT ${mostRanked + 1}`,
    values: values.list,
    mostBytes: pageBytes,
  };
}

/**
 * What was looked for, of words that are there. A word of one wrong letter has a half without one: records that hold either half are
 * looked at, as far as the caller sees them.
 */
async function meantBy(
  tx: UnitOfWork,
  principal: Principal,
  asked: readonly Asked[],
  words: readonly string[],
): Promise<string | undefined> {
  const patterns = [...new Set(words.flatMap(halvesOf))];
  if (patterns.length === 0) return undefined;
  const texts = await Promise.all(asked.map(({ kind }) => textsLike(tx, principal, kind, patterns)));
  const there = new Set(texts.flat().flatMap(wordsOf));
  const meant = words.map((word) =>
    there.has(word) || [...there].some((one) => one.startsWith(word)) ? word : nearest(word, there),
  );
  const isWhole = meant.every((word) => word !== undefined);
  return isWhole && meant.some((word, index) => word !== words[index]) ? meant.join(" ") : undefined;
}

function halvesOf(word: string): string[] {
  if (word.length < 4 || /^\d+$/.test(word)) return [];
  const middle = Math.ceil(word.length / 2);
  return [word.slice(0, Math.max(3, middle)), word.slice(-Math.max(3, word.length - middle))].map(
    (half) => `%${half}%`,
  );
}

async function textsLike(
  tx: UnitOfWork,
  principal: Principal,
  kind: AnyKind,
  patterns: readonly string[],
): Promise<string[]> {
  const values = new Values();
  const conditions = visibleTo({ kind }, principal)(values).join(" AND ");
  const columns = searchedFields(kind).map(columnOf);
  const rows = await tx.query<Record<string, string | null>>({
    text: `SELECT ${columns.join(", ")} FROM ${kind.table} WHERE ${conditions}
      AND id = ANY ((SELECT find_${kind.table}(NULL, NULL, NULL, ${values.add(patterns)}::text[], ${mostLooked}))::uuid[])
      LIMIT ${mostLooked}`,
    values: values.list,
  });
  return rows.flatMap((row) => columns.flatMap((column) => row[column] ?? []));
}
