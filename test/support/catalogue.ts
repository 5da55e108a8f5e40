import { inspect } from "./database.ts";

/** Rights as a text, the default ones written out. */
const rights = (acl: string, kind: string, owner: string) =>
  `(SELECT string_agg(concat_ws(':', coalesce(g.grantee::regrole::text, ''), g.privilege_type, g.is_grantable), ' '
     ORDER BY g.grantee::regrole::text, g.privilege_type) FROM aclexplode(coalesce(${acl}, acldefault('${kind}', ${owner}))) g)`;

const schemas = "ARRAY['public', 'control', 'moves']::regnamespace[]";
/** Partitions by month come with time, and each release has its own way to note its migrations. */
const ours = `c.relnamespace = ANY (${schemas}) AND (NOT c.relispartition OR c.relname ~ '_default(_|$)')
  AND c.relname !~ '^((control_|shard_)?migrations)(_|$)'`;

const queries = [
  `SELECT 'schema ' || n.nspname, concat_ws(' | ', n.nspowner::regrole, ${rights("n.nspacl", "n", "n.nspowner")})
   FROM pg_namespace n WHERE n.oid = ANY (${schemas})`,
  `SELECT 'relation ' || c.oid::regclass, concat_ws(' | ', c.relkind, c.relowner::regrole, c.relpersistence,
     c.relrowsecurity, c.relforcerowsecurity, c.reloptions, pg_get_partkeydef(c.oid), pg_get_expr(c.relpartbound, c.oid),
     ${rights("c.relacl", "r", "c.relowner")})
   FROM pg_class c WHERE ${ours} AND c.relkind <> 'S'`,
  `SELECT 'column ' || c.oid::regclass || '.' || a.attname, concat_ws(' | ',
     (SELECT count(*) FROM pg_attribute b WHERE b.attrelid = c.oid AND b.attnum BETWEEN 1 AND a.attnum AND NOT b.attisdropped),
     format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated,
     a.attstorage, a.attcompression, a.attcollation::regcollation, a.attoptions, a.attacl)
   FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
     LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum WHERE ${ours} AND c.relkind <> 'i'`,
  `SELECT 'index ' || i.indexrelid::regclass, concat_ws(' | ', pg_get_indexdef(i.indexrelid), i.indisvalid, i.indisprimary,
     i.indisunique, i.indisreplident, i.indisclustered)
   FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE ${ours}`,
  `SELECT 'constraint ' || c.oid::regclass || '.' || o.conname, concat_ws(' | ', pg_get_constraintdef(o.oid), o.convalidated)
   FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid WHERE ${ours}`,
  `SELECT 'function ' || f.oid::regprocedure, concat_ws(' | ', pg_get_functiondef(f.oid), f.proowner::regrole,
     ${rights("f.proacl", "f", "f.proowner")})
   FROM pg_proc f WHERE f.pronamespace = ANY (${schemas}) AND f.prokind IN ('f', 'p')`,
  `SELECT 'policy ' || c.oid::regclass || '.' || p.polname, concat_ws(' | ', p.polcmd, p.polpermissive, p.polroles::regrole[],
     pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
   FROM pg_policy p JOIN pg_class c ON c.oid = p.polrelid WHERE ${ours}`,
  `SELECT 'trigger ' || c.oid::regclass || '.' || t.tgname, concat_ws(' | ', pg_get_triggerdef(t.oid), t.tgenabled)
   FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE ${ours} AND NOT t.tgisinternal`,
  `SELECT 'sequence ' || c.oid::regclass, concat_ws(' | ', c.relowner::regrole, s.seqtypid::regtype, s.seqstart, s.seqincrement,
     s.seqmax, s.seqmin, s.seqcache, s.seqcycle, ${rights("c.relacl", "s", "c.relowner")})
   FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid WHERE ${ours}`,
  `SELECT 'rule ' || c.oid::regclass || '.' || r.rulename, pg_get_ruledef(r.oid)
   FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class WHERE ${ours}`,
  `SELECT 'type ' || t.oid::regtype, concat_ws(' | ', t.typtype, t.typowner::regrole, ${rights("t.typacl", "T", "t.typowner")})
   FROM pg_type t WHERE t.typnamespace = ANY (${schemas}) AND t.typtype IN ('d', 'e', 'r')`,
  `SELECT 'extension ' || e.extname, concat_ws(' | ', e.extversion, e.extnamespace::regnamespace) FROM pg_extension e`,
];

/**
 * All that our migrations make in a database, one line each: schemas, tables, columns in their order, indexes, constraints,
 * functions with their source, policies, triggers, sequences, owners and rights. Two databases with equal lists work alike.
 */
export async function catalogueOf(url: string): Promise<string[]> {
  const sql = queries.map((query) => `SELECT * FROM (${query}) AS q (what, about)`).join(" UNION ALL ");
  const rows = await inspect<{ what: string; about: string }>(url, sql);
  return rows.map(({ what, about }) => `${what}: ${about}`).sort();
}
