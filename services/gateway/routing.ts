import type { IncomingMessage } from "node:http";
import { appError, badRequest } from "../../mixins/contract/errors.ts";
import { hasBody } from "./body.ts";

/** A route of moleculer-web. */
export interface Alias {
  method: string;
  action: string | null;
  /** With the base, parameters as `:id`. */
  fullPath: string;
  /** Values of the path's parameters. @throws BadRequestError when one cannot be decoded */
  match(path: string): Record<string, string> | false;
}

interface Node {
  fixed: Map<string, Node>;
  parameter: Node | undefined;
  byMethod: Map<string, Alias>;
}
const newNode = (): Node => ({ fixed: new Map(), parameter: undefined, byMethod: new Map() });

/**
 * Finds the route of a path. There is one address for everything: another case, a slash at the end or a doubled one
 * is another address, so that what stands in front (a proxy's rules, a cache) and we mean the same.
 */
export class Routing {
  readonly #root = newNode();
  readonly #isHeadable: (alias: Alias) => boolean;

  /** @param isHeadable whether a GET changes nothing, so that it may be asked for as HEAD */
  constructor(aliases: readonly Alias[], isHeadable: (alias: Alias) => boolean) {
    this.#isHeadable = isHeadable;
    for (const alias of aliases) {
      let node = this.#root;
      for (const segment of segmentsOf(alias.fullPath)) {
        let next = segment.startsWith(":") ? node.parameter : node.fixed.get(segment);
        if (!next) {
          next = newNode();
          if (segment.startsWith(":")) node.parameter = next;
          else node.fixed.set(segment, next);
        }
        node = next;
      }
      node.byMethod.set(alias.method, alias);
    }
  }

  /** HEAD is answered as GET. @param path without the query string */
  find(path: string, method: string): Alias | undefined {
    const byMethod = find(this.#root, segmentsOf(path), 0)?.byMethod;
    if (method !== "HEAD") return byMethod?.get(method);
    const alias = byMethod?.get("GET");
    return alias && this.#isHeadable(alias) ? alias : undefined;
  }

  /** The pattern of a path, by whatever method; undefined when there is no such path. @param path without the query string */
  patternOf(path: string): string | undefined {
    const [alias] = find(this.#root, segmentsOf(path), 0)?.byMethod.values() ?? [];
    return alias?.fullPath;
  }

  /** Methods a path knows, for `Allow`; none when there is no such path. */
  methodsOf(path: string): string[] {
    const byMethod = find(this.#root, segmentsOf(path), 0)?.byMethod;
    if (!byMethod) return [];
    const methods = [...byMethod.keys()];
    const read = byMethod.get("GET");
    if (read && this.#isHeadable(read)) methods.push("HEAD");
    return [...methods.sort(), "OPTIONS"];
  }

  /**
   * What of a request is answered without a route: nothing, an error (400 for a body where none can be, 404, 405), or,
   * for OPTIONS, the methods. Preflights of pages are moleculer-web's, where pages of other origins are let in at all.
   */
  check(request: IncomingMessage, hasCors: boolean): Error | { allow: string[] } | undefined {
    const { method = "", url = "", headers } = request;
    const path = url.split("?")[0] as string;
    const isRead = method !== "POST" && method !== "PUT" && method !== "PATCH" && method !== "DELETE";
    if (isRead && hasBody(request)) return badRequest("BODY_NOT_ALLOWED", `${method} takes no body.`);
    if (this.find(path, method)) return undefined;
    const allow = this.methodsOf(path);
    if (allow.length === 0) return notFound(path, (other) => this.methodsOf(other).length > 0);
    if (method === "OPTIONS")
      return hasCors && headers["access-control-request-method"] !== undefined ? undefined : { allow };
    const message = `${method} does not work here; ${allow.join(", ")} do.`;
    return appError(405, "METHOD_NOT_ALLOWED", message, { allow });
  }
}

/** 404, with the address that was meant where it is another way to write one. */
function notFound(path: string, exists: (path: string) => boolean): Error {
  const plain = path.replace(/\/{2,}/g, "/").replace(/(.)\/$/, "$1");
  const meant = [plain, plain.toLowerCase()].find((other) => other !== path && exists(other));
  const hint = meant === undefined || meant.length > 200 ? "" : ` Did you mean ${meant}?`;
  return appError(404, "ROUTE_NOT_FOUND", `There is no such route.${hint}`);
}

const segmentsOf = (path: string): string[] => path.slice(1).split("/");

/** What is written out goes before what is a parameter. */
function find(node: Node, segments: string[], at: number): Node | undefined {
  if (at === segments.length) return node.byMethod.size > 0 ? node : undefined;
  const segment = segments[at] as string;
  const fixed = node.fixed.get(segment);
  const found = fixed && find(fixed, segments, at + 1);
  if (found) return found;
  return node.parameter && segment !== "" ? find(node.parameter, segments, at + 1) : undefined;
}
