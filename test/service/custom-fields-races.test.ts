import { beforeAll, describe, expect, test } from "@jest/globals";
import type { Answer, Client } from "../support/client.ts";
import { bodyOf, listOf, made, recordWorld, unique, type Body } from "../support/records.ts";

let admin: Client;
beforeAll(async () => {
  ({ admin } = await recordWorld("Races"));
});

const rounds = 3;
const define = (more: object) =>
  made(admin, "/custom-fields", { kind: "lead", key: unique().replace("-", "_"), ...more });
const lead = (key: unknown, value: unknown) =>
  admin.post("/leads", { lastName: "Race", customFields: { [String(key)]: value } });
/** Leads that have the key at all. */
const holders = async (key: unknown): Promise<Body[]> =>
  listOf(await admin.get(`/leads?limit=200&filter[lastName]=Race`)).filter(
    ({ customFields }) => String(key) in (customFields as object),
  );
const statuses = (answers: Answer[]) => answers.map(({ status }) => status);

describe("a definition that is changed while records are written by it", () => {
  test("becomes unique only where one has each value", async () => {
    for (let round = 0; round < rounds; round++) {
      const { id, key } = await define({ type: "text" });
      const [changed, ...leads] = await Promise.all([
        admin.send("PATCH", `/custom-fields/${id}`, { isUnique: true }),
        ...Array.from({ length: 8 }, () => lead(key, "same")),
      ]);
      const count = (await holders(key)).length;
      expect(statuses(leads).filter((status) => status === 201)).toHaveLength(count);
      expect(statuses(leads).every((status) => status === 201 || status === 409)).toBe(true);
      if (changed?.status === 200) expect(count).toBeLessThanOrEqual(1);
      else expect(changed).toMatchObject({ status: 409, body: { code: "VALUES_REPEAT" } });
    }
  });

  test("gets another type only where every value is one of it", async () => {
    for (let round = 0; round < rounds; round++) {
      const { id, key } = await define({ type: "text" });
      const [changed, ...leads] = await Promise.all([
        admin.send("PATCH", `/custom-fields/${id}`, { type: "number" }),
        ...Array.from({ length: 8 }, () => lead(key, "abc")),
      ]);
      const count = (await holders(key)).length;
      expect(statuses(leads).every((status) => status === 201 || status === 422)).toBe(true);
      if (changed?.status === 200) expect(count).toBe(0);
      else expect(changed).toMatchObject({ status: 409, body: { code: "VALUES_DO_NOT_FIT" } });
    }
  });

  test("loses an option only where nobody has it, and goes only where nobody has a value", async () => {
    for (let round = 0; round < rounds; round++) {
      const options = ["gold", "iron"].map((value) => ({ value, label: value }));
      const { id, key } = await define({ type: "select", options });
      const [changed, ...leads] = await Promise.all([
        admin.send("PATCH", `/custom-fields/${id}`, { options: options.slice(1) }),
        ...Array.from({ length: 8 }, () => lead(key, "gold")),
      ]);
      const count = (await holders(key)).length;
      expect(statuses(leads).every((status) => status === 201 || status === 422)).toBe(true);
      if (changed?.status === 200) expect(count).toBe(0);
      else expect(changed).toMatchObject({ status: 409, body: { code: "IN_USE" } });

      const { id: other, key: gone } = await define({ type: "text" });
      const [deleted, ...more] = await Promise.all([
        admin.send("DELETE", `/custom-fields/${other}`),
        ...Array.from({ length: 8 }, () => lead(gone, "kept")),
      ]);
      const made201 = statuses(more).filter((status) => status === 201).length;
      if (deleted?.status === 204) expect(made201).toBe(0);
      else expect(deleted).toMatchObject({ status: 409 });
    }
  });

  test("is sensitive from the first value on, whoever wrote by it undefined", async () => {
    for (let round = 0; round < rounds; round++) {
      const key = unique().replace("-", "_");
      const [defined, ...leads] = await Promise.all([
        admin.post("/custom-fields", { kind: "lead", key, type: "text", isSensitive: true }),
        ...Array.from({ length: 4 }, () => lead(key, "plain")),
      ]);
      const plain = leads.filter(({ body }) => !("sensitive" in (body as object))).length;
      if (defined?.status === 201) expect(plain).toBe(0);
      else expect(defined).toMatchObject({ status: 409, body: { code: "CUSTOM_FIELD_IN_USE" } });
    }
  });

  test("finds what was deleted and restored meanwhile: a value is had once, and given up", async () => {
    for (let round = 0; round < rounds; round++) {
      const { id, key } = await define({ type: "text" });
      const first = bodyOf(await lead(key, "one"));
      await admin.send("DELETE", `/leads/${first.id}`);
      const second = bodyOf(await lead(key, "one"));
      await Promise.all([
        admin.send("PATCH", `/custom-fields/${id}`, { isUnique: true }),
        admin.post(`/leads/${first.id}/restore`),
        admin.send("PATCH", `/leads/${second.id}`, { firstName: "x" }),
      ]);
      const count = (await holders(key)).length;
      const now = bodyOf(await admin.get(`/custom-fields/${id}`));
      if (now.isUnique === true) expect(count).toBe(1);
      for (const one of await holders(key)) await admin.send("DELETE", `/leads/${one.id}`);
      // nobody who is gone has it any more
      expect(await lead(key, "one")).toMatchObject({ status: 201 });
    }
  });
});
