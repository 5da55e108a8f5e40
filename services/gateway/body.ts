import { isUtf8 } from "node:buffer";
import type { IncomingMessage, ServerResponse } from "node:http";
import { promisify } from "node:util";
import { brotliDecompress, gunzip, inflate } from "node:zlib";
import {
  appError,
  badRequest,
  clipped,
  invalid,
  invalidField,
  type FieldError,
} from "../../mixins/contract/errors.ts";
import { countNames, repeatedName } from "../../mixins/contract/repeated-names.ts";
import { compareDecimals, decimalOf } from "../../mixins/values/decimal.ts";
import type { Route } from "./routes.ts";

/** Largest body that is no upload, as it travels and unpacked. */
const maxBodyBytes = 1024 * 1024;
/** Objects and lists within each other. */
const maxDepth = 32;
/** Longest that such a body may take to come: 1 MB at 35 kB/s. */
const patienceMs = 30_000;
const maxFormFields = 20;

const formType = /^application\/x-www-form-urlencoded\b/i;
const jsonType = /^application\/json\s*(;|$)/i;
/** RFC 7396: what our PATCHes do. */
const mergePatchType = /^application\/merge-patch\+json\s*(;|$)/i;

const unpack = new Map<string, (body: Buffer, options: { maxOutputLength: number }) => Promise<Buffer>>([
  ["gzip", promisify(gunzip)],
  ["x-gzip", promisify(gunzip)],
  ["deflate", promisify(inflate)],
  ["br", promisify(brotliDecompress)],
]);

export const hasBody = ({ headers }: IncomingMessage): boolean =>
  headers["transfer-encoding"] !== undefined || Number(headers["content-length"] ?? 0) > 0;

/**
 * Refuses, by its head alone, a body that would be refused when it has come.
 * @throws 413 BODY_TOO_LARGE, 415 for a type, charset or encoding that is not taken
 */
export function checkHead({ spec, method }: Route, { headers }: IncomingMessage): void {
  const type = headers["content-type"] ?? "";
  const isForm = (spec.isForm ?? false) && formType.test(type);
  const isPatch = method === "PATCH";
  if (!isForm && !jsonType.test(type) && !(isPatch && mergePatchType.test(type))) {
    const taken = ["application/json"];
    if (isPatch) taken.push("application/merge-patch+json");
    if (spec.isForm) taken.push("application/x-www-form-urlencoded");
    throw appError(415, "UNSUPPORTED_MEDIA_TYPE", `Send ${taken.join(" or ")}.`);
  }
  const charset = /;\s*charset\s*=\s*"?([^";\s]*)/i.exec(type)?.[1]?.toLowerCase();
  if (charset !== undefined && !["utf-8", "utf8", "us-ascii"].includes(charset))
    throw appError(415, "UNSUPPORTED_CHARSET", "Send the body in UTF-8.");
  const encoding = encodingOf(headers["content-encoding"]);
  if (encoding !== undefined && !unpack.has(encoding))
    throw appError(415, "UNSUPPORTED_ENCODING", "A body may be encoded with gzip, deflate or br.");
  if (Number(headers["content-length"] ?? 0) > maxBodyBytes) throw tooLarge();
}

const encodingOf = (header: string | undefined): string | undefined => {
  const name = header?.trim().toLowerCase();
  return name === undefined || name === "" || name === "identity" ? undefined : name;
};

const tooLarge = () => appError(413, "BODY_TOO_LARGE", "The body is larger than 1 MB.");

/**
 * The bytes of a body, unpacked. It is refused as soon as too much of it has come; what follows is not read.
 * @param onBytes hears how much has come; what it throws ends the reading
 * @throws 400 for a packed body that is broken, 408 REQUEST_TIMEOUT, 413 BODY_TOO_LARGE
 */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
  onBytes: (count: number) => void,
): Promise<Buffer> {
  beginBody(request, response);
  const body = await collect(request, onBytes);
  const encoding = encodingOf(request.headers["content-encoding"]);
  const unpacked = encoding === undefined ? undefined : unpack.get(encoding);
  if (!unpacked) return body;
  try {
    return await unpacked(body, { maxOutputLength: maxBodyBytes });
  } catch (error) {
    if ((error as { code?: string }).code === "ERR_BUFFER_TOO_LARGE") throw tooLarge();
    throw badRequest("MALFORMED_BODY", `The body is not valid ${encoding}.`);
  }
}

/** Bids a client go on that waits to be asked for its body (RFC 9110, 10.1.1). */
export function beginBody({ headers, complete }: IncomingMessage, response: ServerResponse): void {
  if (!complete && headers.expect?.toLowerCase() === "100-continue") response.writeContinue();
}

function collect(request: IncomingMessage, onBytes: (count: number) => void): Promise<Buffer> {
  return new Promise((done, fail) => {
    const chunks: Buffer[] = [];
    let bytes = 0;
    const end = (outcome: () => void) => {
      clearTimeout(timer);
      request.off("data", take).off("end", finish).off("close", breakOff).off("error", breakOff);
      outcome();
    };
    const refuse = (error: Error) =>
      end(() => {
        request.pause();
        fail(error);
      });
    const take = (chunk: Buffer) => {
      bytes += chunk.length;
      chunks.push(chunk);
      if (bytes > maxBodyBytes) return refuse(tooLarge());
      try {
        onBytes(chunk.length);
      } catch (error) {
        refuse(error as Error);
      }
    };
    const finish = () => end(() => done(Buffer.concat(chunks)));
    const breakOff = () => end(() => fail(badRequest("REQUEST_ABORTED", "The request was cut off.")));
    const timer = request.complete
      ? undefined
      : setTimeout(
          () => refuse(appError(408, "REQUEST_TIMEOUT", "The body took longer than 30 s to come.")),
          patienceMs,
        );
    request.on("data", take).on("end", finish).on("close", breakOff).on("error", breakOff);
    // one that is gone says so no more
    if (request.destroyed && !request.readableEnded) breakOff();
  });
}

/**
 * What a body says.
 * @throws 400 MALFORMED_JSON, also where an object has a name twice; 413 for a form of too many fields, 422 for what is nested too deep, names `__proto__` or has a number
 *   that would be stored as another one
 */
export function parseBody({ headers }: IncomingMessage, body: Buffer): Record<string, unknown> {
  if (formType.test(headers["content-type"] ?? "")) return parseForm(body);
  if (!isUtf8(body)) throw malformed("The body is not valid UTF-8.");
  const written = namesWritten(body);
  if (written === tooDeep)
    throw invalidField("", "too_deep", `Objects and lists may be nested ${maxDepth} levels deep.`);
  let text = body.toString();
  // RFC 8259, 8.1: a byte order mark may be ignored
  if (text.startsWith("\uFEFF")) text = text.slice(1);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformed("The body is not valid JSON.");
  }
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw malformed("The body must be a JSON object.");
  if (written !== countNames(value)) refuseRepeated(text);
  if (manyDigits.test(text)) refuseRounded(text);
  // a name may be written with escapes
  if (text.includes("__proto__") || text.includes("\\u")) refuseReserved(value, []);
  return value as Record<string, unknown>;
}

const malformed = (detail: string) => badRequest("MALFORMED_JSON", detail);

/** Instead of a number of names: there are more levels than are taken. */
const tooDeep = -1;

/** How many names JSON has, by the colons outside of its strings, or `tooDeep`, by the brackets. Much cheaper than to parse them. */
function namesWritten(json: Buffer): number {
  let depth = 0;
  let names = 0;
  let isInString = false;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (isInString) {
      if (byte === 0x5c) at++;
      else if (byte === 0x22) isInString = false;
    } else if (byte === 0x22) isInString = true;
    else if (byte === 0x3a) names++;
    else if (byte === 0x5b || byte === 0x7b) {
      if (++depth > maxDepth) return tooDeep;
    } else if (byte === 0x5d || byte === 0x7d) depth--;
  }
  return names;
}

/** Two readers would take two values for it: the one in front that checks, and the one behind that does it. */
function refuseRepeated(text: string): never {
  const path = repeatedName(text) ?? [];
  const errors = [{ path: path.join("."), code: "duplicate_field", message: "stands twice in its object" }];
  throw appError(400, "MALFORMED_JSON", `The body has a name twice: ${clipped(path.join("."), 200)}.`, {
    errors,
  });
}

/** Code that copies objects would take it for the prototype, or drop it without a word. */
function refuseReserved(value: object, path: string[]): void {
  for (const [name, inner] of Object.entries(value as Record<string, unknown>)) {
    if (name === "__proto__")
      throw invalidField([...path, name].join("."), "unknown_field", "There is no such field.");
    if (typeof inner === "object" && inner !== null) refuseReserved(inner, [...path, name]);
  }
}

/** What a number of JavaScript may not keep: 2^53 has 16 digits. */
const manyDigits = /\d{16}|\d[eE]\+?\d{3}/;
class Rounded {}
/** No number that is kept is written with more digits; to compare longer ones digit by digit takes long. */
const mostDigits = 400;

/** Ids of other systems are such numbers, and must not become other ids. */
function refuseRounded(text: string): void {
  const parse = JSON.parse as (
    text: string,
    revive: (key: string, value: unknown, context: { source?: string }) => unknown,
  ) => unknown;
  let found = 0;
  const value = parse(text, (_key, one, { source = "" }) => {
    // so many are told
    if (typeof one !== "number" || found === 100 || isKept(one, source)) return one;
    found += 1;
    return new Rounded();
  });
  const problems: FieldError[] = [];
  const look = (one: unknown, path: string[]) => {
    if (one instanceof Rounded)
      problems.push({
        path: path.join("."),
        code: "not_exact",
        message: "is a number with more digits than are kept; send it as a text, in quotes",
      });
    else if (typeof one === "object" && one !== null)
      for (const [name, inner] of Object.entries(one)) look(inner, [...path, name]);
  };
  look(value, []);
  if (problems.length > 0) throw invalid(problems);
}

function isKept(value: number, source: string): boolean {
  if (!Number.isFinite(value)) return false;
  // digits behind the point are written by clients that have the same number
  if (Math.abs(value) <= Number.MAX_SAFE_INTEGER) return true;
  if (source.length > mostDigits) return false;
  const [given, kept] = [decimalOf(source), decimalOf(value)];
  return !given || !kept || compareDecimals(given, kept) === 0;
}

function parseForm(body: Buffer): Record<string, unknown> {
  const fields = [...new URLSearchParams(body.toString())];
  if (fields.length > maxFormFields)
    throw appError(413, "BODY_TOO_LARGE", `The form has more than ${maxFormFields} fields.`);
  const names = new Set<string>();
  for (const [name] of fields) {
    if (names.has(name)) throw invalidField(name, "duplicate_field", "The field stands twice.");
    names.add(name);
  }
  return Object.fromEntries(fields);
}
