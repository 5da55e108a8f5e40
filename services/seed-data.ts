import type { LeadInput } from "../entities/lead.ts";
import type { Role } from "../mixins/access/principal.ts";

/** The demo's users; the first makes the organization. */
export const demoTeam: readonly [DemoUser, ...DemoUser[]] = [
  { name: "Asha Rao", email: "admin@demo.sangam.example", role: "admin" },
  { name: "Vikram Shah", email: "manager@demo.sangam.example", role: "manager" },
  { name: "Meera Iyer", email: "rep1@demo.sangam.example", role: "sales_rep" },
  { name: "Daniel Okafor", email: "rep2@demo.sangam.example", role: "sales_rep" },
  { name: "Lucia Romero", email: "viewer@demo.sangam.example", role: "viewer" },
];
interface DemoUser {
  name: string;
  email: string;
  role: Role;
}

const firstNames =
  "Aarav Ananya Arjun Diya Farah Grace Hana Ishaan Jonas Kavya Leo Maya Nikhil Olga Priya Rohan Sofia Tara Umar Zoya".split(
    " ",
  );
const lastNames =
  "Agarwal Banerjee Chen Desai Fernandes Gupta Hansen Iyer Joshi Khan Lindqvist Mehta Nair Okoye Patel Reddy Singh Thomas Verma Walker".split(
    " ",
  );
const companies =
  "Nilgiri Foods,Harbor Analytics,Deccan Textiles,Blue Peak Logistics,Monsoon Media,Kite Robotics,Saffron Health,Granite Works,Lotus Learning,Indus Solar".split(
    ",",
  );
const titles = [
  "CEO",
  "Head of Sales",
  "VP Marketing",
  "Operations Manager",
  "Developer",
  "Founder",
  "Student",
  "Procurement Lead",
];
const sources = ["Website", "Referral", "Google", "Olark Chat", "Trade Fair", "Cold Call", "Direct Traffic"];
const statuses = ["new", "new", "new", "contacted", "contacted", "qualified", "unqualified"] as const;
const cities = ["Mumbai", "Pune", "Bengaluru", "Chennai", "Delhi", "Nairobi", "Madrid"];

/** `count` plausible leads, the same at every call. */
export function demoLeads(count: number): LeadInput[] {
  const next = random(20_260_101);
  const pick = <T>(list: readonly T[]): T => list[Math.floor(next() * list.length)] as T;
  return Array.from({ length: count }, (_, index) => {
    const firstName = pick(firstNames);
    const lastName = pick(lastNames);
    const companyName = pick(companies);
    const domain = next() < 0.7 ? `${companyName.toLowerCase().replaceAll(" ", "-")}.example` : "gmail.com";
    return {
      externalId: `demo-${index + 1}`,
      firstName,
      lastName,
      email: next() < 0.9 ? `${firstName}.${lastName}.${index + 1}@${domain}`.toLowerCase() : null,
      phone: next() < 0.7 ? `+9198${String(10_000_000 + Math.floor(next() * 89_999_999))}` : null,
      companyName: domain === "gmail.com" ? null : companyName,
      title: pick(titles),
      source: pick(sources),
      status: pick(statuses),
      tags: next() < 0.3 ? ["demo", "newsletter"] : ["demo"],
      customFields: { city: pick(cities), visits: Math.floor(next() * 12) },
      consent: { email: next() < 0.8 },
    };
  });
}

/** Numbers in [0, 1) from a seed: the mulberry32 generator. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
