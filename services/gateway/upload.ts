import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Busboy } from "@fastify/busboy";
import { appError, badRequest, invalidField } from "../../mixins/contract/errors.ts";
import { isDiskFull, openNamelessFile, spoolFull } from "../../mixins/upload/nameless-file.ts";

/** Largest file taken. */
export const maxFileBytes = 200 * 1024 * 1024;

/**
 * A form with one file, spooled to disk: its fields may stand before or after the file. The spooled file has no name: the
 * operating system takes its space back when it is discarded, or the process ends, in whatever way.
 */
export interface Upload {
  fields: Record<string, string>;
  fileName: string;
  /** SHA-256 of fields and file. */
  hash: string;
  /** The file from its beginning. One at a time. */
  open(): Readable;
  /** After that it cannot be read any more. */
  discard(): Promise<void>;
}

/**
 * Reads a multipart form whose file is in the field `file`, in constant memory.
 * @throws 400 for a broken form, 413 FILE_TOO_LARGE, 415 for another content type, 422 without a file or with two, 503
 *   SPOOL_FULL where there is no space for it
 */
export async function receiveUpload(request: IncomingMessage): Promise<Upload> {
  const type = request.headers["content-type"] ?? "";
  if (!type.startsWith("multipart/form-data"))
    throw appError(
      415,
      "UNSUPPORTED_MEDIA_TYPE",
      "Send multipart/form-data with the file in the field `file`.",
    );
  const file = await openNamelessFile();
  try {
    return {
      ...(await spool(request, file)),
      open: () => file.createReadStream({ start: 0, autoClose: false }),
      discard: () => file.close(),
    };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function spool(
  request: IncomingMessage,
  target: FileHandle,
): Promise<Omit<Upload, "open" | "discard">> {
  const fields: Record<string, string> = {};
  const hash = createHash("sha256");
  let fileName: string | undefined;
  let written: Promise<void> | undefined;
  let refusal: Error | undefined;
  let form;
  try {
    form = new Busboy({
      headers: { ...request.headers, "content-type": request.headers["content-type"] ?? "" },
      limits: { fileSize: maxFileBytes, files: 2, fields: 20, fieldSize: 100_000, parts: 30 },
    });
  } catch {
    throw badRequest("MALFORMED_FORM", "The form has no boundary.");
  }
  form.on("field", (name, value) => {
    if (name in fields) refusal ??= invalidField(name, "duplicate_field", "The field stands twice.");
    fields[name] = value;
  });
  form.on("file", (name, file, name_) => {
    if (name !== "file" || written !== undefined) {
      refusal ??= invalidField(name, "unknown_field", "Send one file, in the field `file`.");
      file.resume();
      return;
    }
    fileName = name_;
    file.on("limit", () => {
      refusal ??= appError(
        413,
        "FILE_TOO_LARGE",
        `The file is larger than ${maxFileBytes / 1024 / 1024} MB.`,
      );
    });
    written = pipeline(file, async (chunks: AsyncIterable<Buffer>) => {
      // what is refused is read to its end all the same: a client hears of it when it has sent what it has
      for await (const chunk of chunks) {
        hash.update(chunk);
        if (refusal) continue;
        await target.writeFile(chunk).catch((error: unknown) => {
          if (!isDiskFull(error)) throw error;
          refusal = spoolFull();
        });
      }
    });
    written.catch(() => undefined); // awaited below; until then it must not count as unhandled
  });
  try {
    await pipeline(request, form);
    await written;
  } catch {
    throw refusal ?? badRequest("MALFORMED_FORM", "The form is cut off or cannot be read.");
  }
  if (refusal) throw refusal;
  if (written === undefined) throw invalidField("file", "required", "Send the file in the field `file`.");
  for (const [name, value] of Object.entries(fields).sort()) hash.update(`\n${name}=${value}`);
  return { fields, fileName: fileName ?? "upload", hash: hash.digest("base64url") };
}
