import { LRUCache } from "lru-cache";
import { z } from "zod";

/**
 * A time zone: a name of the IANA database, or an offset. Abbreviations are refused: IST is India's, Ireland's and
 * Israel's. What Intl of this process knows decides; nobody else is asked what a zone means (see offsetsOf).
 */
export const timeZone = z
  .string()
  .max(64)
  .refine(
    (name) => (name === "UTC" || name.includes("/") || /^[+-]\d\d:\d\d$/.test(name)) && isKnown(name),
    "must be a time zone of the IANA database such as Asia/Kolkata, UTC, or an offset such as +05:30",
  );

/** How far a zone is ahead of UTC: `seconds[0]` until the first of `from`, then each from its instant on. */
export interface ZoneOffsets {
  /** Instants in ISO 8601, ascending. */
  from: string[];
  seconds: number[];
}

/** Which rules this process computes days by: they change with the tz database in Node. */
export const zoneRules: string = process.versions.tz ?? process.version;

const weekMs = 7 * 86_400_000;
const known = new LRUCache<string, ZoneOffsets & { untilYear: number }>({ max: 1_000 });

/**
 * A zone's offsets from 1970 to the end of next year, for SQL that needs local days: PostgreSQL has a tz database of its own,
 * of another age and with other names, and reads offsets with the sign of POSIX. A zone that this process does not know any
 * more counts as UTC. The first time takes about 30 ms.
 * @param now default: the present
 */
export function offsetsOf(name: string, now = new Date()): ZoneOffsets {
  const untilYear = now.getUTCFullYear() + 2;
  const before = known.get(name);
  if (before && before.untilYear >= untilYear) return before;
  const offsets = { ...readOffsets(isKnown(name) ? name : "UTC", Date.UTC(untilYear)), untilYear };
  known.set(name, offsets);
  return offsets;
}

/** The day of an instant in a zone, YYYY-MM-DD; a zone that this process does not know any more counts as UTC. */
export const dayIn = (name: string, instant: Date): string =>
  new Date(shownIn(name, instant.getTime())).toISOString().slice(0, 10);

/** What clocks of a zone show at an instant, in ms as if it were UTC. */
export const shownIn = (name: string, instant: number): number => instant + offsetIn(name, instant);

/** How far a zone is ahead of UTC at an instant, both in ms; a zone that this process does not know any more counts as UTC. */
export const offsetIn = (name: string, at: number): number => offsetAt(usualFormat(name), at) * 1_000;

/** Zones of a country (ISO 3166-1), as Intl has them: one for each way in which its clocks go this year. Empty: none is known. */
export function zonesOfCountry(country: string): readonly string[] {
  let zones = zonesOf.get(country);
  if (zones === undefined) {
    const year = new Date().getUTCFullYear();
    const ways = new Map(
      // of ECMA-402, and not yet in TypeScript's own types
      ((new Intl.Locale(`und-${country}`) as { getTimeZones?(): string[] }).getTimeZones?.() ?? [])
        .map((name) => renamed[name] ?? name)
        .filter(isKnown)
        .map((name) => [`${offsetIn(name, Date.UTC(year, 0))} ${offsetIn(name, Date.UTC(year, 6))}`, name]),
    );
    zones = [...ways.values()];
    zonesOf.set(country, zones);
  }
  return zones;
}
const zonesOf = new Map<string, readonly string[]>();
/** Intl has some countries' only zones under the names that they had once. */
const renamed: Readonly<Record<string, string>> = {
  "Asia/Calcutta": "Asia/Kolkata",
  "Asia/Katmandu": "Asia/Kathmandu",
  "Asia/Rangoon": "Asia/Yangon",
  "Asia/Saigon": "Asia/Ho_Chi_Minh",
  "Europe/Kiev": "Europe/Kyiv",
};

/**
 * The instant, in ms since 1970, at which clocks of a zone show a time: of two the earlier, and of a time that is left out, as much
 * later. A zone that this process does not know any more counts as UTC.
 * @param local the time shown, in ms as if it were UTC
 */
export function instantIn(name: string, local: number): number {
  if (name === "UTC" || !isKnown(name)) return local;
  const format = formatOf(name);
  const dayMs = 86_400_000;
  const [before, after] = [local - dayMs, local + dayMs].map((at) => offsetAt(format, at) * 1_000) as [
    number,
    number,
  ];
  const isShown = (offset: number) => offsetAt(format, local - offset) * 1_000 === offset;
  return local - (!isShown(before) && isShown(after) ? after : before);
}

/**
 * SQL of the day of an instant, a date. In: the expressions of the instant, of `from` and of `seconds` as parameters.
 * The arrays of PostgreSQL begin at 1, and width_bucket is 0 before the first of `from`.
 */
export const localDaySql = (instant: string, from: string, seconds: string): string =>
  `((${instant} AT TIME ZONE 'UTC') + (${seconds}::int[])[width_bucket(${instant}, ${from}::timestamptz[]) + 1] * interval '1 s')::date`;

function readOffsets(name: string, until: number): ZoneOffsets {
  const format = formatOf(name);
  const from: string[] = [];
  const seconds = [offsetAt(format, 0)];
  // no zone changes its offset twice in a week
  for (let at = 0; at < until; at += weekMs) {
    const [before, after] = [seconds.at(-1) as number, offsetAt(format, at + weekMs)];
    if (before === after) continue;
    let [last, first] = [at, at + weekMs];
    while (first - last > 1_000) {
      const middle = Math.floor((first + last) / 2_000) * 1_000;
      if (offsetAt(format, middle) === before) last = middle;
      else first = middle;
    }
    from.push(new Date(first).toISOString());
    seconds.push(after);
  }
  return { from, seconds };
}

const formats = new LRUCache<string, Intl.DateTimeFormat>({ max: 1_000 });
/** Making one takes longer than asking it a hundred times. */
function usualFormat(name: string): Intl.DateTimeFormat {
  let format = formats.get(name);
  if (format === undefined) {
    format = formatOf(isKnown(name) ? name : "UTC");
    formats.set(name, format);
  }
  return format;
}

const formatOf = (name: string) =>
  new Intl.DateTimeFormat("en-US", { timeZone: name, timeZoneName: "longOffset" });

/** Seconds ahead of UTC: the end of "1/1/1970, GMT-00:44:30". */
function offsetAt(format: Intl.DateTimeFormat, at: number): number {
  const [, sign, hours, minutes, seconds] =
    /GMT(?:([+-])(\d\d):(\d\d)(?::(\d\d))?)?$/.exec(format.format(at)) ?? [];
  const size = Number(hours ?? 0) * 3_600 + Number(minutes ?? 0) * 60 + Number(seconds ?? 0);
  return sign === "-" ? -size : size;
}

function isKnown(name: string): boolean {
  try {
    return Boolean(new Intl.DateTimeFormat("en", { timeZone: name }));
  } catch {
    return false;
  }
}
