import { createHash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Busboy, type BusboyInstance } from "@fastify/busboy";
import { appError, badRequest, invalidField } from "../../mixins/contract/errors.ts";
import { isDiskFull, openNamelessFile, spoolFull } from "../../mixins/upload/nameless-file.ts";
import { beginBody } from "./body.ts";

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

/** What the form may hold beside the file. */
const maxFieldBytes = 100_000;
const maxFields = 20;
const mostBytes = maxFileBytes + maxFields * maxFieldBytes + 100_000;
/** Longest pause in an upload. */
const pauseMs = 30_000;

/**
 * Reads a multipart form whose file is in the field `file`, in constant memory. It is refused as soon as something is
 * wrong with it; what follows is not read.
 * @throws 400 for a broken form, 408 REQUEST_TIMEOUT, 413 FILE_TOO_LARGE, 415 for another content type, 422 without a
 *   file, with two, or with a field that stands twice, 503 SPOOL_FULL where there is no space for it
 */
export async function receiveUpload(request: IncomingMessage, response: ServerResponse): Promise<Upload> {
  const type = request.headers["content-type"] ?? "";
  if (!/^multipart\/form-data\b/i.test(type))
    throw appError(
      415,
      "UNSUPPORTED_MEDIA_TYPE",
      "Send multipart/form-data with the file in the field `file`.",
    );
  if (Number(request.headers["content-length"] ?? 0) > mostBytes) throw tooLarge();
  const file = await openNamelessFile();
  try {
    beginBody(request, response);
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

const tooLarge = () =>
  appError(413, "FILE_TOO_LARGE", `The file is larger than ${maxFileBytes / 1024 / 1024} MB.`);
const malformed = () => badRequest("MALFORMED_FORM", "The form is cut off or cannot be read.");

async function spool(
  request: IncomingMessage,
  target: FileHandle,
): Promise<Omit<Upload, "open" | "discard">> {
  let form: BusboyInstance;
  try {
    form = new Busboy({
      headers: { ...request.headers, "content-type": request.headers["content-type"] ?? "" },
      limits: {
        ...{ fileSize: maxFileBytes, files: 2, fields: maxFields, fieldSize: maxFieldBytes },
        ...{ parts: 30, headerPairs: 20, headerSize: 16_384 },
      },
    });
  } catch {
    throw badRequest("MALFORMED_FORM", "The form has no boundary.");
  }
  const fields = new Map<string, string>();
  const hash = createHash("sha256");
  let file: Readable | undefined;
  let fileName = "upload";
  let written: Promise<void> | undefined;
  try {
    await read(request, form, (refuse) => {
      form.on("field", (name: string | undefined, value, _isNameCut, isCut) => {
        if (name === undefined) refuse(malformed());
        else if (fields.has(name)) refuse(invalidField(name, "duplicate_field", "The field stands twice."));
        else if (isCut) refuse(invalidField(name, "too_big", `A field may have ${maxFieldBytes} bytes.`));
        else fields.set(name, value);
      });
      form.on("file", (name: string | undefined, part, name_) => {
        if (name !== "file" || file !== undefined) {
          part.on("error", () => undefined).resume();
          return refuse(invalidField(name ?? "", "unknown_field", "Send one file, in the field `file`."));
        }
        file = part;
        fileName = name_;
        part.on("limit", () => refuse(tooLarge()));
        written = pipeline(part, async (chunks: AsyncIterable<Buffer>) => {
          for await (const chunk of chunks) {
            hash.update(chunk);
            await target.writeFile(chunk);
          }
        });
        written.catch((error: Error & { syscall?: string }) => {
          if (isDiskFull(error)) refuse(spoolFull());
          // what the disk says is ours; all else is said of the form
          else refuse(error.syscall === undefined ? malformed() : error);
        });
      });
      for (const limit of ["fieldsLimit", "partsLimit", "filesLimit"] as const)
        form.on(limit, () => refuse(invalidField("", "too_big", `A form may have ${maxFields} fields.`)));
    });
    await written;
  } catch (error) {
    file?.destroy();
    await written?.catch(() => undefined);
    throw error;
  }
  if (written === undefined) throw invalidField("file", "required", "Send the file in the field `file`.");
  for (const [name, value] of [...fields].sort()) hash.update(`\n${name}=${value}`);
  return { fields: Object.fromEntries(fields), fileName, hash: hash.digest("base64url") };
}

/** Brings a request to the form, until its end or until it is refused; then the rest stays unread. */
function read(
  request: IncomingMessage,
  form: BusboyInstance,
  listen: (refuse: (error: Error) => void) => void,
): Promise<void> {
  return new Promise((done, fail) => {
    let bytes = 0;
    const end = (outcome: () => void) => {
      clearTimeout(timer);
      request.off("data", count).off("close", breakOff).off("error", breakOff);
      outcome();
    };
    const refuse = (error: Error) =>
      end(() => {
        request.unpipe(form);
        request.pause();
        fail(error);
      });
    const count = (chunk: Buffer) => {
      timer.refresh();
      bytes += chunk.length;
      if (bytes > mostBytes) refuse(tooLarge());
    };
    const breakOff = () => {
      if (!request.readableEnded) refuse(malformed());
    };
    const timer = setTimeout(
      () => refuse(appError(408, "REQUEST_TIMEOUT", "Nothing came of the upload for 30 s.")),
      pauseMs,
    );
    request.on("data", count).on("close", breakOff).on("error", breakOff);
    form.on("error", () => refuse(malformed())).once("finish", () => end(done));
    listen(refuse);
    if (request.destroyed) breakOff();
    request.pipe(form);
  });
}
