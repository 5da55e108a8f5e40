import type { LeadRow } from "../../entities/lead.ts";

/** What conditions are judged by: the fields of a lead and what follows from them (`factFields` of the contract). */
export type Facts = Record<string, unknown> & {
  customFields: Record<string, unknown>;
  consent: Record<string, unknown>;
};

/** Mail providers whose addresses say nothing about a company. */
const freeMail = new Set([
  ...[
    "gmail.com",
    "googlemail.com",
    "yahoo.com",
    "yahoo.co.in",
    "yahoo.co.uk",
    "ymail.com",
    "rediffmail.com",
  ],
  ...["hotmail.com", "outlook.com", "live.com", "msn.com", "icloud.com", "me.com", "aol.com", "zoho.com"],
  ...[
    "proton.me",
    "protonmail.com",
    "gmx.com",
    "gmx.de",
    "web.de",
    "mail.com",
    "mail.ru",
    "yandex.com",
    "qq.com",
  ],
]);

// whole words: "director" holds "cto"
const seniorities: [string, RegExp][] = [
  [
    "executive",
    /\b(chief|c[efotmir]o|founder|cofounder|owner|president|partner|proprietor|managing director)\b/i,
  ],
  ["director", /\b(director|vp|head|principal)\b/i],
  ["manager", /\b(manager|lead|supervisor)\b/i],
];

/**
 * The facts of a lead. Derived ones:
 * `emailDomain`; `emailKind` business or free; `seniority` executive, director, manager or other (by the title);
 * `visits`, `secondsOnSite`, `doNotEmail`, `doNotCall` from custom fields known by several names, and from consent.
 */
export function factsOf(lead: LeadRow): Facts {
  const emailDomain = lead.email?.split("@")[1] ?? null;
  const known = recognise(lead.custom_fields);
  return {
    externalId: lead.external_id,
    firstName: lead.first_name,
    lastName: lead.last_name,
    email: lead.email,
    emailDomain,
    emailKind: emailDomain === null ? null : freeMail.has(emailDomain) ? "free" : "business",
    phone: lead.phone,
    companyName: lead.company_name,
    title: lead.title,
    seniority: lead.title === null ? null : seniorityOf(lead.title),
    source: lead.source,
    status: lead.status,
    score: lead.score,
    tags: lead.tags,
    visits: asNumber(known.visits),
    secondsOnSite: asNumber(known.secondsOnSite),
    doNotEmail: isYes(known.doNotEmail) || lead.consent.email === false,
    doNotCall: isYes(known.doNotCall) || lead.consent.phone === false,
    customFields: lead.custom_fields,
    consent: lead.consent,
  };
}

/** "Vice President" is a director's rank, though it holds the word president. */
function seniorityOf(title: string): string {
  const plain = title.replace(/\bvice[ -]president\b/gi, "vp");
  return seniorities.find(([, pattern]) => pattern.test(plain))?.[0] ?? "other";
}

type KnownField = "visits" | "secondsOnSite" | "doNotEmail" | "doNotCall";
/** Names under which other systems export the same fact; compared without case, spaces and signs. */
const knownNames: Record<string, KnownField> = {
  visits: "visits",
  totalvisits: "visits",
  websitevisits: "visits",
  timeonsite: "secondsOnSite",
  secondsonsite: "secondsOnSite",
  timespentonwebsite: "secondsOnSite",
  totaltimespentonwebsite: "secondsOnSite",
  donotemail: "doNotEmail",
  donotcall: "doNotCall",
};

function recognise(customFields: Record<string, unknown>): Partial<Record<KnownField, unknown>> {
  const known: Partial<Record<KnownField, unknown>> = {};
  for (const key in customFields) {
    const name = knownNames[key.toLowerCase().replace(/[^a-z]/g, "")];
    if (name !== undefined) known[name] = customFields[key];
  }
  return known;
}

const isYes = (value: unknown): boolean =>
  value === true || value === 1 || (typeof value === "string" && /^(yes|true|1|y)$/i.test(value));

function asNumber(value: unknown): number | null {
  if (typeof value === "number") return value;
  return typeof value === "string" && value !== "" && Number.isFinite(Number(value)) ? Number(value) : null;
}
