import type { Components, Json } from "./openapi.schemas.ts";

/** What fields of these names are in examples. */
const byName: Record<string, unknown> = {
  id: "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f",
  name: "Asha Rao",
  organizationName: "Rao Textiles",
  firstName: "Asha",
  lastName: "Rao",
  email: "asha.rao@example.com",
  phone: "+919876543210",
  companyName: "Rao Textiles",
  title: "Head of purchasing",
  source: "website",
  externalId: "crm-4711",
  note: "Call back after the fair",
  reason: "Asked for it by mail",
  password: "correct-horse-battery",
  currentPassword: "correct-horse-battery",
  newPassword: "a-longer-horse-battery",
  role: "sales_rep",
  domain: "rao-textiles.example",
  timezone: "Asia/Kolkata",
  country: "IN",
  plan: "trial",
  dataRegion: "in",
  totp: "123456",
  currency: "INR",
  amount: "1234.50",
  ip: "203.0.113.7",
  userAgent: "Mozilla/5.0",
  field: "companyName",
  value: "Rao*",
  factor: "Company",
  detail: "The company is known",
  points: 10,
  tags: ["fair-2026"],
  scopes: ["leads:read"],
  permissions: ["leads:read"],
  nextCursor: "WyJBYkNkRWZHaEpr",
  customFields: { city: "Pune" },
  consent: { email: true },
  verifier: "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
  challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWqGCdnCIpp0k",
  sha256: "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
  key: "city",
  label: "City",
  days: { "leads.leads": 365 },
  part: "leads.leads",
  summary: "Leads",
  least: 30,
  most: 36_500,
  task: "leads.rescore",
  state: "dead",
};

const byFormat: Record<string, string> = {
  uuid: "01990d5e-7b1a-7c3e-9d2f-3a5b6c7d8e9f",
  "date-time": "2026-03-02T09:30:00.000Z",
  date: "2026-03-02",
  email: "asha.rao@example.com",
};

/**
 * A value that a schema allows: its own example, what its name stands for, or the plainest.
 * @param isWhole whether what may be left out is there too; so answers are shown, and questions are not
 */
export function exampleOf(schema: Json, components: Components, isWhole: boolean, name = ""): unknown {
  const known = components.resolve(schema);
  const { type, properties, items, anyOf, format, required = [] } = known as Shape;
  if (known.examples) return (known.examples as unknown[])[0];
  if ("const" in known) return known.const;
  if ("default" in known && !isWhole) return known.default;
  if (known.enum) return (known.enum as unknown[])[0];
  if (name in byName && fits(byName[name], known)) return byName[name];
  if (anyOf) return exampleOf(anyOf.find(isValue) ?? {}, components, isWhole, name);
  if (properties) {
    const shown = Object.entries(properties).filter(([key]) => isWhole || required.includes(key));
    return Object.fromEntries(
      shown.map(([key, part]) => [key, exampleOf(part, components, isWhole, key)] as const),
    );
  }
  if (items) return [exampleOf(items, components, isWhole, name.replace(/s$/, ""))];
  if (format !== undefined && format in byFormat) return byFormat[format];
  return plainest(known, Array.isArray(type) ? type[0] : type);
}

interface Shape {
  type?: string | string[];
  properties?: Record<string, Json>;
  items?: Json;
  anyOf?: Json[];
  format?: string;
  required?: string[];
}

const isValue = ({ type }: Json): boolean => type !== "null";

function fits(value: unknown, { type, anyOf, items, pattern, maxLength }: Json): boolean {
  if (anyOf) return (anyOf as Json[]).some((one) => isValue(one) && !one.$ref && fits(value, one));
  const types = Array.isArray(type) ? (type as string[]) : [type];
  if (Array.isArray(value)) return types.includes("array") && (items as Json | undefined)?.type === "string";
  if (typeof value === "string")
    return (
      types.includes("string")
      && (pattern === undefined || new RegExp(pattern as string).test(value))
      && (maxLength === undefined || value.length <= (maxLength as number))
    );
  return types.includes(typeof value === "number" ? "integer" : typeof value);
}

function plainest({ minimum, minLength = 0 }: Json, type: string | undefined): unknown {
  switch (type) {
    case "integer":
    case "number":
      return Math.max(1, Number(minimum ?? 0));
    case "boolean":
      return true;
    case "null":
      return null;
    case "string":
      return "text".padEnd(Number(minLength), "-");
    case "array":
      return [];
    default:
      return {};
  }
}
