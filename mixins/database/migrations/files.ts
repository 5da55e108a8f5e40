import { createHash } from "node:crypto";
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** Which tables a migration is about: those of the control database, or those that every shard database has. */
export type Part = "control" | "shard";

/** One `NNNN_name.sql`. */
export interface MigrationFile {
  part: Part;
  number: number;
  /** `shard/0002_name.sql`: how messages call it. */
  path: string;
  /** Whether nodes of the release before fail beside it. */
  isBreaking: boolean;
  /** Whether it runs outside of a transaction, statement by statement. */
  isConcurrent: boolean;
  /** SHA-256 of its text, in hex; line ends of a checkout on Windows count as the others. */
  checksum: string;
  text: string;
}

/** Where the migrations of this release are. */
export const migrationsFolder = fileURLToPath(new URL("../../../entities/migrations", import.meta.url));

const fileName = /^(\d{4})_[a-z0-9_]+\.sql$/;
const transactionControl = /^\s*(BEGIN|START TRANSACTION|COMMIT|END|ROLLBACK)\s*;/im;
const indexWithoutGuard = /^\s*CREATE\s+(UNIQUE\s+)?INDEX\s+(?!CONCURRENTLY\s+IF\s+NOT\s+EXISTS\s)/im;

/**
 * Reads the migrations of one part, in order.
 * @param folder holds a folder for each part; default: that of this release
 * @throws Error naming the file with a gap or a clash before it, a bad name or a header that is missing
 */
export function readMigrations(part: Part, folder = migrationsFolder): MigrationFile[] {
  const names = readdirSync(join(folder, part)).sort();
  return names.map((name, index) => {
    const path = `${part}/${name}`;
    const number = Number(fileName.exec(name)?.[1] ?? Number.NaN);
    if (Number.isNaN(number))
      throw new Error(`entities/migrations/${path}: migrations are called NNNN_name.sql, in lower case.`);
    if (number !== index + 1)
      throw new Error(
        `entities/migrations/${path}: the next number is ${pad(index + 1)}. `
          + "Numbers have no gap, and no two files the same one.",
      );
    const text = readFileSync(join(folder, part, name), "utf8").replaceAll("\r\n", "\n");
    const checksum = createHash("sha256").update(text).digest("hex");
    const isBreaking = readHeader(path, text, "breaking");
    const isConcurrent = readHeader(path, text, "concurrently");
    if (isConcurrent ? indexWithoutGuard.test(text) : transactionControl.test(text))
      throw new Error(
        `entities/migrations/${path}: `
          + (isConcurrent
            ? "an index is made with CREATE INDEX CONCURRENTLY IF NOT EXISTS, so that it can be taken up again."
            : "it runs in a transaction already, and must not begin or end one."),
      );
    return { part, number, path, isBreaking, isConcurrent, checksum, text };
  });
}

const pad = (number: number) => String(number).padStart(4, "0");

function readHeader(path: string, text: string, name: "breaking" | "concurrently"): boolean {
  const head = /^(--.*\n)*/.exec(text)?.[0] ?? "";
  const answer = new RegExp(`^-- ${name}: (yes|no)$`, "m").exec(head)?.[1];
  if (answer === undefined)
    throw new Error(
      `entities/migrations/${path}: its first lines must say "-- ${name}: yes" or "-- ${name}: no".`,
    );
  return answer === "yes";
}

/** Cuts a file into its statements, without the comments between them; what strings and function bodies hold stays whole. */
export function statementsOf(text: string): string[] {
  const pieces = /'(?:[^']|'')*'|"[^"]*"|\$(\w*)\$[\s\S]*?\$\1\$|--[^\n]*|\/\*[\s\S]*?\*\/|;|[\s\S]/g;
  const statements: string[] = [];
  let statement = "";
  for (const [piece] of text.matchAll(pieces))
    if (piece === ";") {
      statements.push(statement.trim());
      statement = "";
    } else if (!piece.startsWith("--") && !piece.startsWith("/*")) statement += piece;
  return [...statements, statement.trim()].filter((one) => one !== "");
}
