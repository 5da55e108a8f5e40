import { dayNumber, type CallWindow } from "../../entities/call-queue.ts";
import { offsetIn, zonesOfCountry } from "../../mixins/contract/time-zone.ts";
import { countryOfPhone } from "../../mixins/values/phone.ts";

/** Whose clocks count for a call: an IANA name, or a country (ISO 3166-1) with several ways in which clocks go. */
export interface Zone {
  zone: string;
  from: "given" | "phone" | "organization";
}

const minuteMs = 60_000;
const dayMs = 86_400_000;
const isCountry = (zone: string): boolean => /^[A-Z]{2}$/.test(zone);

/** The zones that a call's zone stands for. */
export const zonesIn = (zone: string): readonly string[] => (isCountry(zone) ? zonesOfCountry(zone) : [zone]);

/**
 * Where somebody is called: as was given, else in the phone's country (libphonenumber's country, the zones that Intl has of it), else
 * as the organization's clocks go. Where in a country of several zones a phone is, nobody knows.
 */
export function zoneOfCall(phone: string, given: string | undefined, ofOrganization: string): Zone {
  if (given !== undefined) return { zone: given, from: "given" };
  const country = countryOfPhone(phone);
  const zones = country === undefined ? [] : zonesOfCountry(country);
  const [only] = zones;
  if (country === undefined || only === undefined) return { zone: ofOrganization, from: "organization" };
  return { zone: zones.length === 1 ? only : country, from: "phone" };
}

/** Whether somebody may be called at an instant: all clocks of their zone show a time within the window. Null: always. */
export function isOpen(window: CallWindow | null, zone: string, at: Date): boolean {
  if (window === null) return true;
  return zonesIn(zone).every((name) => isWithin(window, at.getTime() + offsetIn(name, at.getTime())));
}

/** Whether there is a time at which somebody may be called: zones of one country may lie so far apart that there is none. */
export function isEverOpen(window: CallWindow | null, zone: string, now: Date): boolean {
  const zones = zonesIn(zone);
  if (window === null || zones.length === 1) return true;
  const offsets = zones.map((name) => offsetIn(name, now.getTime()));
  // where all are open together, one of them has just opened
  const openings = offsets.flatMap((offset) =>
    Array.from({ length: 8 }, (_day, day) => day * dayMs + minutesOf(window.from) * minuteMs - offset),
  );
  return openings.some((at) => offsets.every((offset) => isWithin(window, at + offset)));
}

/** @param local in ms since 1970, as if it were UTC */
function isWithin({ from, to, days }: CallWindow, local: number): boolean {
  const numbers = new Set(days.map(dayNumber));
  const day = Math.floor(local / dayMs);
  // 1970 began on a Thursday
  const begins = (of: number) => numbers.has((of + 4) % 7);
  const minute = (local - day * dayMs) / minuteMs;
  const [first, last] = [minutesOf(from), minutesOf(to)];
  if (first < last) return begins(day) && minute >= first && minute < last;
  return (begins(day) && minute >= first) || (begins(day - 1) && minute < last);
}

function minutesOf(clock: string): number {
  const [hours = 0, minutes = 0] = clock.split(":").map(Number);
  return hours * 60 + minutes;
}

/** The pause before the next try, in seconds. @param attempts made so far */
export const pauseAfter = (pausesSeconds: readonly number[], attempts: number): number =>
  pausesSeconds[Math.min(attempts, pausesSeconds.length) - 1] ?? 0;
