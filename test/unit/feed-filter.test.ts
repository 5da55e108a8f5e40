import { describe, expect, test } from "@jest/globals";
import { kinds } from "../../entities/kinds.ts";
import { declareKinds } from "../../mixins/records/kind/kinds.ts";
import { feedFilter, typesInput, typesText } from "../../mixins/events/feed-filter.ts";

declareKinds(kinds.values());

const ana = "018f0000-0000-7000-8000-00000000000a";
const ben = "018f0000-0000-7000-8000-00000000000b";
const event = (type: string, kind: string, audience: string[] | null = null) => ({
  type,
  entity: { kind },
  audience,
});
const principal = (role: string, userId: string | null = ana) => ({ organizationId: "o", userId, role });

describe("what a role sees of the feed", () => {
  test.each([
    ["admin", "lead", true],
    ["admin", "import", true],
    ["admin", "user", true],
    ["manager", "assignment_pool", true],
    ["system", "user", true],
    ["viewer", "lead", true],
    ["viewer", "import", true],
    ["viewer", "user", false],
    ["sales_rep", "lead", true],
    ["sales_rep", "deal", true],
    ["sales_rep", "import", false],
    ["sales_rep", "assignment_pool", false],
    ["nobody", "lead", false],
    ["", "user", false],
  ])("%s and an event of a %s: %s", (role, kind, isVisible) => {
    expect(feedFilter(principal(role))(event(`${kind}.updated`, kind))).toBe(isVisible);
  });

  test.each([...kinds.keys()])("everybody but nobody sees a %s that is theirs", (kind) => {
    for (const role of ["admin", "manager", "sales_rep", "viewer"])
      expect(feedFilter(principal(role))(event(`${kind}.updated`, kind, [ana]))).toBe(true);
    expect(feedFilter(principal("nobody"))(event(`${kind}.updated`, kind, [ana]))).toBe(false);
  });

  test("a sales representative sees only events that name it, or nobody", () => {
    const isVisible = feedFilter(principal("sales_rep"));
    expect(isVisible(event("lead.updated", "lead", [ana, ben]))).toBe(true);
    expect(isVisible(event("lead.updated", "lead", [ben]))).toBe(false);
    expect(isVisible(event("lead.updated", "lead", []))).toBe(false);
    expect(isVisible(event("lead.updated", "lead", null))).toBe(true);
    expect(feedFilter(principal("sales_rep", null))(event("lead.updated", "lead", [ana]))).toBe(false);
  });

  test("the audience restricts nobody else", () => {
    expect(feedFilter(principal("viewer"))(event("lead.updated", "lead", [ben]))).toBe(true);
  });
});

describe("the types asked for", () => {
  test.each([
    [["lead.created"], "lead.created", true],
    [["lead.created"], "lead.created_twice", false],
    [["lead.*"], "lead.created", true],
    [["lead.*"], "leads.created", false],
    [["lead"], "lead.created", false],
    [["deal.won", "lead.*"], "deal.won", true],
    [["deal.won", "lead.*"], "deal.lost", false],
    [["*"], "deal.lost", true],
    [undefined, "deal.lost", true],
  ])("%j and %s: %s", (types, type, isWanted) => {
    expect(feedFilter(principal("admin"), types)(event(type, "lead"))).toBe(isWanted);
  });

  test("a comma list and a list mean the same", () => {
    expect(typesText.parse("lead.created, deal.*")).toEqual(["lead.created", "deal.*"]);
    expect(typesInput.parse(["lead.created", "deal.*"])).toEqual(["lead.created", "deal.*"]);
  });

  test.each([
    "",
    "lead.",
    "lead,",
    "Lead.created",
    "lead.*.x",
    "*.created",
    "lead.cre%ted",
    "a".repeat(1001),
  ])("refuses %j", (text) => {
    expect(typesText.safeParse(text).success).toBe(false);
    expect(typesInput.safeParse([text]).success && text !== "a".repeat(1001)).toBe(false);
  });
});
