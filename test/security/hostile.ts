import fc from "fast-check";
import type { Route } from "../../services/gateway/routes.ts";
import { filledByGateway } from "../../mixins/contract/contract.ts";
import { jsonSchemaOf, placesOf, sampleOf, type Place } from "../support/wrong-values.ts";

/** A request as it goes over the wire. */
export interface HostileRequest {
  method: string;
  path: string;
  headers: Record<string, string>;
  body?: string | undefined;
}

/** JSON that JSON.stringify cannot write, as it is to stand in the body. */
const raw = (json: string) => `@raw:${json}@`;
const toJson = (value: unknown): string =>
  JSON.stringify(value).replace(/"@raw:(.*?)@"/g, (_all, json: string) => json.replaceAll('\\"', '"'));

/** What stands where something else is meant, in JSON. */
export const hostileValues: unknown[] = [
  ...[null, true, false, 0, raw("-0"), -1, 0.1, 1e21, raw("1e400"), raw("-1e400")],
  ...[
    9_007_199_254_740_992,
    raw("9007199254740993"),
    raw("123456789012345678901234567890"),
    2_147_483_648,
    -9_223_372_036_854_775_808,
  ],
  ...["", " ", "x", "\0", "a\0b", "\ud800", "\udc00x", "\u202e", "x".repeat(5_000), "é".repeat(600)],
  ...["0000-01-01", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59"],
  ...["10000-01-01T00:00:00Z", "+010000-01-01T00:00:00.000Z", "-000001-01-01T00:00:00Z", "2026-02-30"],
  ...["2026-06-15T12:00:00Z", "00000000-0000-0000-0000-000000000000", "__proto__", "constructor", "toString"],
  ...["'; DROP TABLE leads; --", "%", "\\", "${x}", "a@b.example", "+919876543210", "1e999", "NaN"],
  ...[[], [null], [[]], [{}], ["x", "x"], Array.from({ length: 1_100 }, () => "x")],
  ...[{}, { "": "" }, { a: { b: {} } }, raw('{"__proto__":{"x":1}}'), { constructor: { prototype: 1 } }],
  ...[{ toString: "x", hasOwnProperty: 1 }, { ["k".repeat(2_000)]: 1 }, { "\0": "\0", "\ud800": "\ud800" }],
];
/** The same for addresses, encoded. */
const hostileTexts = [
  ...["", "%20", "x", "0", "-0", "-1", "1.5", "1e400", "NaN", "Infinity", "99999999999999999999"],
  ...["%00", "a%00b", "%ff", "%ed%a0%80", "%", "%zz", "%c0%80", "%F0%9F%98%80", "%E2%80%AE"],
  ...["0000-01-01", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59-23:59", "10000-01-01", "2026-02-30"],
  ...["%2B010000-01-01T00:00:00.000Z", "-000001-01-01T00:00:00Z", "2026-06-15T12:00:00Z", "2026-06-15T12:00"],
  ...[
    "__proto__",
    "constructor",
    "hasOwnProperty",
    "null",
    "true",
    "{}",
    "[]",
    "%7B%22a%22%3A1%7D",
    "*",
    ",",
    ",,,",
  ],
  ...[
    "x".repeat(3_000),
    "1,2,3",
    "a,".repeat(1_000),
    "%27%3B--",
    "%5C",
    "%25",
    "00000000-0000-0000-0000-000000000000",
  ],
  ...["..", "..%2f..", "%2e%2e", "a%2Fb", "%3F", "%23", "new", "id", "-createdAt"],
];
const hostileHeaders: Record<string, string[]> = {
  "if-match": ['"1"', "*", "", '"0"', '"-1"', '"99999999999999999999"', 'W/"1"', '"1", "2"', "x", "é"],
  "if-none-match": ['"1"', "*", "", '"', 'W/"1"', "x".repeat(2_000)],
  "idempotency-key": ["", " ", "a b", "é", "k".repeat(255), "k".repeat(256), "__proto__"],
  "x-request-id": ["", "é", "x".repeat(200), "__proto__", "a b"],
  "x-correlation-id": ["é", "x".repeat(200)],
  traceparent: ["", "00-0-0-00", `00-${"0".repeat(32)}-${"0".repeat(16)}-00`, "x".repeat(500), "é"],
  "x-forwarded-for": ["", "x", "1.2.3.4, x", "é", "1".repeat(500), "::1", "[::1]:99", "1.2.3.4:99999"],
  "user-agent": ["", "é\t\u00ff", "x".repeat(2_000), "__proto__"],
  "content-type": [
    "",
    "text/plain",
    "application/json; charset=utf-16",
    "application/jsonx",
    "multipart/form-data",
  ],
  "content-encoding": ["", "gzip", "br", "deflate", "identity", "x", "gzip, gzip"],
  accept: ["", "x", "text/html", "*/*;q=nan"],
  cookie: ["", ";;;", "sangam_sign_in=x", `sangam_sign_in=${"é".repeat(43)}`, "=".repeat(500)],
  origin: ["null", "x", "https://", "é"],
  range: ["bytes=0-0", "x"],
  "access-control-request-method": ["DELETE", "x"],
};

export interface Target {
  route: Route;
  /** Values of the path's parameters that name something. */
  params: Record<string, string>;
  /** Fields of a list that it can be filtered by. */
  filterable: readonly string[];
  /** Orders it knows, for cursors. */
  sort?: string;
}

const operators = [
  ...["eq", "ne", "gt", "gte", "lt", "lte", "in", "nin", "like", "contains", "isnull", "nosuch", "__proto__"],
];

/** The names a query can have, and some it cannot. */
function queryNames({ route, filterable }: Target): string[] {
  const own = Object.keys(jsonSchemaOf(route.spec.params).properties ?? {});
  const filters = filterable.flatMap((field) => [
    `filter[${field}]`,
    ...operators.map((operator) => `filter[${field}][${operator}]`),
  ]);
  return [
    ...own,
    ...filters,
    "nosuch",
    "__proto__",
    "filter[__proto__]",
    "fields[]",
    "fields[3]",
    "a[b][c][d]",
  ];
}

/** `where=` a condition that may be right, or wrong in one place or several. */
function whereOf({ filterable }: Target): fc.Arbitrary<string> {
  const test = fc.record({
    field: fc.constantFrom(...filterable, "nosuch", "__proto__"),
    op: fc.constantFrom(...operators),
    value: fc.oneof(
      fc.constantFrom(...hostileValues),
      fc.array(fc.constantFrom(...hostileValues), { maxLength: 3 }),
    ),
  });
  const group = fc.constantFrom("all", "any", "not", "nosuch");
  const tree = fc.oneof(
    test,
    fc.tuple(group, test).map(([name, one]) => ({ [name]: name === "not" ? one : [{ not: one }, one] })),
    fc.constantFrom(...hostileValues),
  );
  return tree.map((one) => `where=${encodeURIComponent(toJson(one).slice(0, 4_000).toWellFormed())}`);
}

/** `?…` of one to three parameters; sometimes of a cursor that was never given, or too many. */
function queryOf(target: Target): fc.Arbitrary<string> {
  const value = fc.constantFrom(...hostileTexts);
  const named = fc
    .tuple(fc.constantFrom(...queryNames(target)), value)
    .map(([name, text]) => `${name}=${text}`);
  const pair =
    target.filterable.length === 0 ? named : fc.oneof({ weight: 4, arbitrary: named }, whereOf(target));
  const pairs = fc.array(pair, { minLength: 1, maxLength: 3 }).map((list) => list.join("&"));
  const cursor = fc
    .tuple(fc.constantFrom(...hostileValues), fc.constantFrom(target.sort ?? "-createdAt", "__proto__"))
    .map(([forged, sort]) => {
      const json = toJson([sort, forged, "01890000-0000-7000-8000-000000000000"]);
      return `sort=${sort}&cursor=${Buffer.from(json).toString("base64url")}`.slice(0, 8_000);
    });
  const many = fc.constant(Array.from({ length: 101 }, (_, index) => `a${index}=1`).join("&"));
  return fc.oneof(
    { weight: 8, arbitrary: pairs },
    { weight: 2, arbitrary: cursor },
    { weight: 1, arbitrary: many },
  );
}

/** A body that is right but for one place; or none that is JSON. */
function bodyOf(route: Route, places: Place[]): fc.Arbitrary<string> {
  const isElsewhere = (name = "") => route.pathParams.includes(name) || filledByGateway.includes(name);
  const own = places.filter(({ path: [first] }) => !isElsewhere(first));
  // what stands in the path may not stand in the body too
  const without = (body: unknown) =>
    typeof body === "object" && body !== null && !Array.isArray(body)
      ? Object.fromEntries(Object.entries(body).filter(([name]) => !isElsewhere(name)))
      : body;
  const wrong = fc
    .tuple(fc.constantFrom(...own), fc.constantFrom(...hostileValues))
    .map(([place, value]) => toJson(without(place.holding(value))));
  const broken = fc.constantFrom(
    ...[
      "",
      "{",
      "[]",
      "null",
      '"x"',
      "0",
      '{"a":1}x',
      "[".repeat(10_000),
      '{"a":'.repeat(100),
      "\0",
      "\ufeff{}",
    ],
    toJson(without(sampleOf((places[0] as Place).schema))),
  );
  return fc.oneof({ weight: 9, arbitrary: wrong }, { weight: 1, arbitrary: broken });
}

const headersOf = fc
  .array(
    fc
      .constantFrom(...Object.keys(hostileHeaders))
      .chain((name) => fc.tuple(fc.constant(name), fc.constantFrom(...(hostileHeaders[name] as string[])))),
    { maxLength: 2 },
  )
  .map((list) => Object.fromEntries(list));

const json = "application/json";
const form = "application/x-www-form-urlencoded";
const multipart = "multipart/form-data; boundary=b";

/** A form with one field that is wrong, and a file where the route takes one. */
function otherBodyOf({ spec }: Route, places: Place[]): fc.Arbitrary<string> {
  const names = places.flatMap(({ path }) => (path.length === 1 ? path : []));
  const texts = hostileValues.map((value) =>
    typeof value === "string" ? value.toWellFormed() : toJson(value),
  );
  return fc
    .tuple(fc.constantFrom(...names, "file", "nosuch", "__proto__"), fc.constantFrom(...texts))
    .map(([name, text]) => {
      if (spec.transfer !== "multipart") return new URLSearchParams([[name, text]]).toString();
      const file = `--b\r\nContent-Disposition: form-data; name="file"; filename="${name}.csv"\r\n\r\nEmail\nx@y.example\n\r\n`;
      return `${file}--b\r\nContent-Disposition: form-data; name="${name}"\r\n\r\n${text}\r\n--b--\r\n`;
    });
}

/** Requests of a route that are right in most and wrong in something. */
export function hostileRequests(target: Target, size: number): HostileRequest[] {
  const { route, params } = target;
  const { method } = route;
  const places = placesOf(jsonSchemaOf(route.spec.params));
  const path = fc
    .tuple(
      ...route.pathParams.map((name) =>
        fc.oneof(
          { weight: 4, arbitrary: fc.constant(params[name] ?? "x") },
          { weight: 1, arbitrary: fc.constantFrom(...hostileTexts) },
        ),
      ),
    )
    .map((values) => values.reduce<string>((text, value) => text.replace(/:\w+/, () => value), route.path));
  const hasBody = method !== "GET";
  const type = route.spec.transfer === "multipart" ? multipart : route.spec.isForm ? form : json;
  const request = fc.record({
    path,
    query: hasBody
      ? fc.oneof({ weight: 9, arbitrary: fc.constant("") }, { weight: 1, arbitrary: queryOf(target) })
      : queryOf(target),
    headers: fc.oneof({ weight: 2, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: headersOf }),
    body: hasBody
      ? type === json
        ? bodyOf(route, places)
        : otherBodyOf(route, places)
      : fc.constant(undefined),
  });
  // each place is met several times
  const count = size + 3 * places.length;
  return fc.sample(request, count).map(({ path: at, query, headers, body }) => {
    // a route that takes nothing is sent nothing half of the time, so that it does what it does
    const sent = body === undefined || (places.length === 1 && body.length % 2 === 0) ? undefined : body;
    return {
      method,
      path: `/api/v1${at}${query === "" ? "" : `?${query}`}`,
      headers: { ...(sent === undefined ? {} : { "content-type": type }), ...headers },
      ...(sent === undefined ? {} : { body: sent }),
    };
  });
}
