import { randomUUID } from "node:crypto";
import { open, rm, type FileHandle } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { appError } from "../contract/errors.ts";

/**
 * A temporary file without a name: the operating system takes its space back when it is closed, or its process ends, in
 * whatever way.
 * @throws 503 SPOOL_FULL when there is no space for it
 */
export async function openNamelessFile(): Promise<FileHandle> {
  const path = join(tmpdir(), `sangam-upload-${randomUUID()}`);
  try {
    const file = await open(path, "wx+", 0o600);
    await rm(path);
    return file;
  } catch (error) {
    throw isDiskFull(error) ? spoolFull() : error;
  }
}

/** Whether a file system has no space left for what was to be written. */
export const isDiskFull = (error: unknown): boolean =>
  ["ENOSPC", "EDQUOT"].includes((error as NodeJS.ErrnoException).code ?? "");

export const spoolFull = () =>
  appError(503, "SPOOL_FULL", "There is no space for the file now; try again later.", {
    retryAfterSeconds: 30,
  });
