import { badQuery, type FieldError } from "../../mixins/contract/errors.ts";

const maxParameters = 100;
const maxListItems = 200;
/** Parameters that are lists: clients made from the OpenAPI document repeat them (style form, exploded). */
const repeatable = new Set(["fields"]);
/** `filter`, `filter[score]`, `filter[score][gte]`; each may end in `[]` or `[0]`, which makes it a list. */
const namePattern = /^([^[\]]+)((?:\[[^[\]]+\]){0,2})(?:\[(\d{0,3})\])?$/;

type Tree = { [name: string]: string | string[] | Tree };

/**
 * The parameters of a query string. Whatever could be read in two ways is refused: a parameter that stands twice, that is
 * both a value and an object, or cannot be decoded.
 * @throws 400 INVALID_QUERY, INVALID_FILTER, INVALID_CURSOR with the parameters that are wrong
 */
export function parseQuery(text: string): Record<string, unknown> {
  const pairs = text.split("&").filter((pair) => pair !== "");
  if (pairs.length > maxParameters)
    throw badQuery([problem("", "too_many_parameters", `Send at most ${maxParameters} parameters.`)]);
  const query: Tree = {};
  const errors: FieldError[] = [];
  for (const pair of pairs) {
    const error = put(query, pair);
    if (error) errors.push(error);
  }
  if (errors.length > 0) throw badQuery(errors);
  return query;
}

const problem = (path: string, code: string, message: string): FieldError => ({ path, code, message });

function put(query: Tree, pair: string): FieldError | undefined {
  const equals = pair.indexOf("=");
  const name = decode(equals < 0 ? pair : pair.slice(0, equals));
  const value = decode(equals < 0 ? "" : pair.slice(equals + 1));
  if (name === undefined || value === undefined)
    return problem(name ?? "", "malformed", "Encode it as UTF-8 in percent encoding (RFC 3986).");
  // `[0]` may be the last of two brackets or a third
  const [, first = "", brackets = "", index] = namePattern.exec(name) ?? [];
  const keys = [first, ...[...brackets.matchAll(/\[([^[\]]+)\]/g)].map(([, key]) => key as string)];
  let at = index;
  if (at === undefined && keys.length > 1 && /^\d{1,3}$/.test(keys.at(-1) as string)) at = keys.pop();
  const path = keys.join(".");
  if (first === "")
    return problem(name, "malformed", "Write parameters as name, name[key] or name[key][key].");
  if (keys.includes("__proto__")) return problem(path, "unknown_field", "There is no such parameter.");
  let place = query;
  for (const key of keys.slice(0, -1)) {
    const inner: unknown = Object.hasOwn(place, key) ? place[key] : (place[key] = {});
    if (typeof inner !== "object" || Array.isArray(inner)) return twice(path);
    place = inner as Tree;
  }
  const last = keys.at(-1) as string;
  const present = Object.hasOwn(place, last) ? place[last] : undefined;
  if (at === undefined && !(present !== undefined && repeatable.has(path))) {
    if (present !== undefined) return twice(path);
    place[last] = value;
    return undefined;
  }
  const list = typeof present === "string" && repeatable.has(path) ? [present] : (present ?? []);
  if (!Array.isArray(list)) return twice(path);
  place[last] = list;
  if (at !== undefined && at !== "" && Number(at) !== list.length)
    return problem(path, "malformed", "Number the items of a list from 0 on, or leave the numbers out.");
  if (list.length >= maxListItems) return problem(path, "too_big", `A list may have ${maxListItems} items.`);
  list.push(value);
  return undefined;
}

const twice = (path: string) =>
  problem(path, "duplicate_parameter", "It stands twice; a list is written with commas, or as name[]=.");

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text.replaceAll("+", " "));
  } catch {
    return undefined;
  }
}
