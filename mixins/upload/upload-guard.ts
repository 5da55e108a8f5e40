import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdtemp, open, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { requireInertSvg, requireNoPolyglot } from "./active-content.ts";
import { requireSafeGzip, requireSafeZip, type ArchiveLimits } from "./archives.ts";
import { equalChunks } from "./chunks.ts";
import { isSameKind, mediaType, sniffType, typeOfExtension } from "./file-kind.ts";
import { extensionOf, safeFileName } from "./file-name.ts";
import {
  fileEmpty,
  fileMissing,
  fileTooLarge,
  fileTypeMismatch,
  fileUnsafe,
  fileUnsupported,
  uploadBrokeOff,
} from "./upload.errors.ts";

const chunkBytes = 256 * 1024;
/** An SVG is read as a whole to be judged. */
const largestSvg = 2 * 1024 * 1024;

export interface UploadPolicy {
  /** Media types that are accepted, by their usual names. */
  types: readonly string[];
  maxBytes: number;
  archives?: ArchiveLimits;
}

/** A file that was checked. It lies on this machine's disk until it is disposed of: `await using`. */
export interface ReceivedFile extends AsyncDisposable {
  /** Fit for a file system, a header and an eye; see safeFileName. */
  name: string;
  /** One of the policy's types, as the bytes have it. */
  type: string;
  bytes: number;
  /** Hexadecimal. */
  sha256: string;
  path: string;
  read(): Readable;
}

/**
 * Takes a file that somebody sends: writes it to a temporary file while it comes, in constant memory, and checks
 * its size, its type by its bytes against the policy and against what is said of it, that archives unpack to what
 * they say and within bounds, and that it is nothing besides what it seems. What is refused is gone from the disk;
 * so is, at the operating system's leisure, what a process that died left there.
 * @param declared.type of the upload's part; `application/octet-stream` claims nothing
 * @throws 400 FILE_REQUIRED, UPLOAD_BROKE_OFF; 413 FILE_TOO_LARGE; 415 UNSUPPORTED_FILE, FILE_TYPE_MISMATCH; 422
 *   FILE_EMPTY, FILE_UNSAFE, ARCHIVE_UNSAFE
 */
export async function receiveUpload(
  file: unknown,
  declared: { name: string; type?: string },
  policy: UploadPolicy,
): Promise<ReceivedFile> {
  if (!(file instanceof Readable)) throw fileMissing();
  // an error of the stream after the last read belongs to nobody, and would end the process
  file.on("error", () => undefined);
  const folder = await mkdtemp(join(tmpdir(), "sangam-upload-"));
  const dispose = () => rm(folder, { recursive: true, force: true });
  try {
    const path = join(folder, "file");
    const { bytes, sha256 } = await writeDown(file, path, policy.maxBytes);
    if (bytes === 0) throw fileEmpty();
    const name = safeFileName(declared.name);
    const type = await requireType(path, name, declared.type, policy.types);
    await requireSafeContent(path, type, bytes, policy.archives);
    const read = () => createReadStream(path);
    return { name, type, bytes, sha256, path, read, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  } finally {
    file.destroy();
  }
}

async function writeDown(
  file: Readable,
  path: string,
  maxBytes: number,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  const target = await open(path, "wx", 0o600);
  let written = 0;
  try {
    const bounds = { chunkBytes, maxBytes, tooLarge: () => fileTooLarge(maxBytes), brokeOff: uploadBrokeOff };
    for await (const bytes of equalChunks(file, bounds)) {
      hash.update(bytes);
      await target.writeFile(bytes);
      written += bytes.length;
    }
  } finally {
    await target.close();
  }
  return { bytes: written, sha256: hash.digest("hex") };
}

/** The type that bytes, name and declaration agree on. */
async function requireType(
  path: string,
  name: string,
  declaredType: string | undefined,
  types: readonly string[],
): Promise<string> {
  const declared = mediaType(declaredType);
  const extension = extensionOf(name);
  const named = typeOfExtension(extension, types);
  const found = await sniffType(path, named ?? declared);
  if (found === undefined) throw fileUnsupported("a file of an unknown type");
  const type =
    [named, declared, found].find((claim) => claim !== undefined && isSameKind(claim, found)) ?? found;
  if (!types.includes(type)) throw fileUnsupported(type);
  if (declared !== undefined && !isSameKind(declared, found)) throw fileTypeMismatch(declared, found);
  if (extension !== "" && (named === undefined || !isSameKind(named, found)))
    throw fileTypeMismatch(`.${extension}`, found);
  return type;
}

async function requireSafeContent(
  path: string,
  type: string,
  bytes: number,
  archives: ArchiveLimits | undefined,
): Promise<void> {
  if (type === "image/svg+xml") {
    if (bytes > largestSvg) throw fileTooLarge(largestSvg);
    requireInertSvg(await readFile(path, "utf8"));
  } else if (type === "application/zip" || type.startsWith("application/vnd.o")) {
    await requireSafeZip(path, bytes, archives);
  } else if (type === "application/gzip") {
    await requireSafeGzip(path, bytes, archives);
  } else if (isArchive(type)) {
    throw fileUnsafe("what it unpacks to cannot be checked");
  } else if (!type.startsWith("text/") && type !== "application/json" && type !== "application/xml") {
    await requireNoPolyglot(path);
  }
}

const isArchive = (type: string): boolean =>
  /^application\/(x-(7z|rar|bzip2?|xz|tar|lzip|lzma|compress|compressed-tar|ace|cfb|apple-diskimage|arj|lzh)|zstd|vnd\.rar|vnd\.ms-cab|java-archive|epub)/.test(
    type,
  );
