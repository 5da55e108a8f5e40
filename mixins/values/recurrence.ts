import rrule from "rrule";
import { instantIn, shownIn } from "../contract/time-zone.ts";

/**
 * Parts of a recurrence rule (RFC 5545, 3.3.10) that are taken. A rule steps by days at least, so that what follows each other is at most
 * one a day; times of day are those of what recurs.
 */
const parts: Readonly<Record<string, { form: RegExp; allowed: string }>> = {
  FREQ: { form: /^(DAILY|WEEKLY|MONTHLY|YEARLY)$/, allowed: "DAILY, WEEKLY, MONTHLY or YEARLY" },
  INTERVAL: { form: /^[1-9]\d?$/, allowed: "1 to 99" },
  COUNT: { form: /^[1-9]\d{0,3}$/, allowed: "1 to 9999" },
  UNTIL: { form: /^\d{8}(T\d{6}Z?)?$/, allowed: "a day or a time such as 20271231 or 20271231T235959Z" },
  BYDAY: {
    form: /^[+-]?\d?\d?(MO|TU|WE|TH|FR|SA|SU)(,[+-]?\d?\d?(MO|TU|WE|TH|FR|SA|SU)){0,6}$/,
    allowed: "up to 7 days such as MO, 1MO or -1FR",
  },
  BYMONTHDAY: {
    form: /^-?([1-9]|[12]\d|3[01])(,-?([1-9]|[12]\d|3[01])){0,30}$/,
    allowed: "days from 1 to 31, or -31 to -1",
  },
  BYMONTH: { form: /^([1-9]|1[0-2])(,([1-9]|1[0-2])){0,11}$/, allowed: "months from 1 to 12" },
  BYSETPOS: { form: /^-?[1-9]\d?\d?$/, allowed: "one number from -999 to 999, but 0" },
  WKST: { form: /^(MO|SU)$/, allowed: "MO or SU" },
};
/** How far the next occurrence is looked for. */
const furthestMs = 100 * 366 * 86_400_000;

/** A rule in the form that is stored, or what is wrong with it and what is allowed. */
export function readRecurrence(given: string): { value: string } | { code: string; message: string } {
  const value = given
    .toUpperCase()
    .replace(/^RRULE:/, "")
    .replace(/;$/, "");
  const refuse = (message: string) => ({ code: "invalid_recurrence", message });
  const seen = new Set<string>();
  for (const pair of value.split(";")) {
    const [name = "", text = "", ...more] = pair.split("=");
    const part = parts[name];
    if (!part || more.length > 0)
      return refuse(`may have ${Object.keys(parts).join(", ")}, but not ${pair.slice(0, 40)}`);
    if (seen.has(name)) return refuse(`has ${name} twice`);
    seen.add(name);
    if (!part.form.test(text)) return refuse(`${name} must be ${part.allowed}`);
  }
  if (!seen.has("FREQ")) return refuse("must have FREQ, such as FREQ=WEEKLY;BYDAY=MO");
  if (seen.has("COUNT") && seen.has("UNTIL")) return refuse("may have COUNT or UNTIL, not both");
  const start = Date.UTC(2000, 0, 1);
  const endless = value.replace(/;?(COUNT|UNTIL)=[^;]*/g, "");
  if (nextOccurrence(endless, { zone: "UTC", start, after: start }) === null) return refuse("never comes up");
  return { value };
}

/**
 * When a rule comes up next, in ms since 1970; null: not any more. Clocks of the zone show the same time at each, whatever its offset;
 * a time that is left out is as much later, for that once.
 * @param start when it came up first: what COUNT counts from. @param after what it must be later than
 */
export function nextOccurrence(
  rule: string,
  { zone, start, after }: { zone: string; start: number; after: number },
): number | null {
  const { until: _until, ...options } = rrule.RRule.parseString(rule.replace(/;?UNTIL=[^;]*/, ""));
  const end = endOf(rule, zone);
  const [shownStart, shownAfter] = [shownIn(zone, start), shownIn(zone, after)];
  const last = Math.min(end ?? Infinity, Math.max(shownStart, shownAfter) + furthestMs);
  const found = new rrule.RRule({
    ...options,
    dtstart: new Date(shownStart),
    until: new Date(Math.min(last, Date.UTC(9999, 11, 31))),
  }).after(new Date(shownAfter));
  if (found === null) return null;
  const instant = instantIn(zone, found.getTime());
  // of a time that is shown twice, or left out, the clocks went back behind it
  return instant > after ? instant : null;
}

/** The last time that UNTIL lets through, as clocks of the zone show it. */
function endOf(rule: string, zone: string): number | undefined {
  const [, text] = /UNTIL=([^;]*)/.exec(rule) ?? [];
  if (text === undefined) return undefined;
  const [, year, month, day, , hour = "23", minute = "59", second = "59"] =
    /^(\d{4})(\d\d)(\d\d)(T(\d\d)(\d\d)(\d\d))?/.exec(text) ?? [];
  const shown = Date.UTC(
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  );
  return text.endsWith("Z") ? shownIn(zone, shown) : shown;
}
