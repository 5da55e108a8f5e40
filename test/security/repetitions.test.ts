import { beforeAll, describe, expect, test } from "@jest/globals";
import { Client, type Answer } from "../support/client.ts";
import { originOf, shareNode, type TestNode } from "../support/node.ts";

let node: TestNode;
let admin: Client;
let rep: Client;
beforeAll(async () => {
  node = await shareNode();
  admin = await new Client(originOf(node)).register("Repetitions");
  rep = await admin.addUser("sales_rep");
});

const send = (client: Client, key: string, body: object) =>
  client.post("/leads", body, { "idempotency-key": key });
const idOf = ({ body }: Answer) => (body as { id: string }).id;
const isReplay = ({ headers }: Answer) => headers.has("idempotency-replayed");

describe("an Idempotency-Key", () => {
  test("of an admin, with its body, shows a rep nothing", async () => {
    const theirs = await send(admin, "k-admin", { lastName: "Hidden", title: "Secret" });
    const ours = await send(rep, "k-admin", { lastName: "Hidden", title: "Secret" });
    expect([theirs.status, ours.status, isReplay(ours)]).toEqual([201, 201, false]);
    expect(idOf(ours)).not.toBe(idOf(theirs));
  });

  test("that two users chose alike is two", async () => {
    const answers = [
      await send(admin, "k-alike", { lastName: "A" }),
      await send(rep, "k-alike", { lastName: "B" }),
    ];
    expect(answers.map(({ status }) => status)).toEqual([201, 201]);
  });

  test("of a user is none of the user's API key", async () => {
    const { body } = await admin.post("/api-keys", { name: "k", scopes: ["leads:create", "leads:read"] });
    const program = admin.withApiKey((body as { key: string }).key);
    const answers = [
      await send(admin, "k-program", { lastName: "A" }),
      await send(program, "k-program", { lastName: "B" }),
      await send(program, "k-program", { lastName: "B" }),
    ];
    expect(answers.map((answer) => [answer.status, isReplay(answer)])).toEqual([
      [201, false],
      [201, false],
      [201, true],
    ]);
  });

  test("keeps back its answer when the record was given to somebody else", async () => {
    const first = await send(rep, "k-given", { lastName: "Given" });
    expect(isReplay(await send(rep, "k-given", { lastName: "Given" }))).toBe(true);
    await admin.post(`/leads/${idOf(first)}/assign`, { userId: admin.userId });
    const again = await send(rep, "k-given", { lastName: "Given" });
    expect(again).toMatchObject({ status: 409, body: { code: "IDEMPOTENT_ANSWER_WITHHELD" } });
    expect(JSON.stringify(again.body)).not.toContain(idOf(first));
  });

  test("keeps back its answer when the caller's rights have changed", async () => {
    const rights = { permissions: ["leads:read", "leads:create", "leads:update"], sees: "all" };
    const { body: role } = await admin.post("/roles", { name: "Keyed", ...rights });
    const user = await admin.addUser((role as { id: string }).id);
    const first = await send(user, "k-rights", { lastName: "Rights" });
    expect(first.status).toBe(201);
    await admin.send("PATCH", `/roles/${(role as { id: string }).id}`, { sees: "own" });
    const again = await send(user, "k-rights", { lastName: "Rights" });
    expect(again).toMatchObject({ status: 409, body: { code: "IDEMPOTENT_ANSWER_WITHHELD" } });
  });
});
