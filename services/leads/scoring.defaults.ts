import type { Condition, ScoringRule } from "../../entities/lead-settings.ts";

const rule = (factor: string, points: number, detail: string, ...conditions: Condition[]): ScoringRule => ({
  factor,
  points,
  detail,
  conditions,
});
const has = (field: string): Condition => ({ field, op: "isnull", value: false });
const is = (field: string, value: string | boolean): Condition => ({ field, op: "eq", value });

/**
 * The rules of an organization that has set none. They judge how well the lead is known, who it is and what it did;
 * never its status, which would score leads by the outcome that the score should foretell.
 */
export const defaultRules: readonly ScoringRule[] = [
  rule("email", 10, "Has an email address", has("email")),
  rule("email_domain", 10, "The email address belongs to a company", is("emailKind", "business")),
  rule("phone", 10, "Has a phone number", has("phone")),
  rule("company", 10, "Names a company", has("companyName")),
  rule("name", 5, "Gives first and last name", has("firstName"), has("lastName")),
  rule("seniority", 20, "Runs the company", is("seniority", "executive")),
  rule("seniority", 15, "Heads a department", is("seniority", "director")),
  rule("seniority", 10, "Leads a team", is("seniority", "manager")),
  rule("source", 15, "Was recommended", {
    field: "source",
    op: "like",
    value: ["referral", "reference", "partner", "word of mouth"],
  }),
  rule("source", 10, "Came by itself", {
    field: "source",
    op: "like",
    value: ["website", "organic", "direct", "chat", "event", "demo", "inbound"],
  }),
  rule("source", -5, "Comes from a bought list", {
    field: "source",
    op: "like",
    value: ["cold", "list", "scrap"],
  }),
  rule("consent", 5, "Agreed to be written to", is("consent.email", true)),
  rule("visits", 5, "Visited the site three times or more", { field: "visits", op: "gte", value: 3 }),
  rule("time_on_site", 10, "Spent five minutes or more on the site", {
    field: "secondsOnSite",
    op: "gte",
    value: 300,
  }),
  rule("time_on_site", 10, "Spent a quarter of an hour or more on the site", {
    field: "secondsOnSite",
    op: "gte",
    value: 900,
  }),
  rule("do_not_email", -15, "Asked not to be written to", is("doNotEmail", true)),
  rule("do_not_call", -10, "Asked not to be called", is("doNotCall", true)),
];
