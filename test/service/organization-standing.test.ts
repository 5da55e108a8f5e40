import { afterAll, afterEach, beforeAll, expect, test } from "@jest/globals";
import { v7 as uuidv7 } from "uuid";
import { Organizations } from "../../mixins/organizations/organizations.ts";
import { inspect, openDatabase } from "../support/database.ts";
import { eventually } from "../support/eventually.ts";

let opened: Awaited<ReturnType<typeof openDatabase>>;
beforeAll(async () => {
  opened = await openDatabase();
});
afterAll(() => opened.close());
const started: Organizations[] = [];
afterEach(() => Promise.all(started.splice(0).map((organizations) => organizations.stop())));

const suspendedOne = async () => {
  const organizationId = uuidv7();
  await inspect(
    opened.url,
    `INSERT INTO control.organizations (id, name, created_at, updated_at, suspended_at)
      VALUES ($1, 'Late', now(), now(), now())`,
    [organizationId],
  );
  return organizationId;
};

/** The database, with `transaction` in front of its own. */
const withTransaction = (transaction: (scope: { control?: string }, go: () => Promise<unknown>) => unknown) =>
  new Proxy(opened.database, {
    get(target, property) {
      const value: unknown = Reflect.get(target, property, target);
      if (property !== "transaction") return value;
      return (scope: { control?: string }, work: never) =>
        transaction(scope, () => target.transaction(scope as never, work));
    },
  });

test("is what a check found that ended while it was being read", async () => {
  const organizationId = await suspendedOne();
  let open: () => void = () => undefined;
  const gate = new Promise<void>((done) => (open = done));
  const held = withTransaction(async ({ control }, go) => {
    const answer = await go();
    if (control !== undefined) await gate;
    return answer;
  });
  const organizations = new Organizations(held, () => undefined);
  const heard: string[] = [];
  organizations.onSuspended((id) => heard.push(id));
  const standing = organizations.of(organizationId);
  organizations.start();
  started.push(organizations);
  await eventually(() => heard.includes(organizationId));
  open();
  expect(await standing).toMatchObject({ isSuspended: true });
  expect(await organizations.of(organizationId)).toMatchObject({ isSuspended: true });
});

test("that was never read is refused, not guessed, while the control database is away; one that was is kept", async () => {
  const organizationId = await suspendedOne();
  let isAway = false;
  const away = withTransaction((_, go) => (isAway ? Promise.reject(new Error("it is away")) : go()));
  const organizations = new Organizations(away, () => undefined);
  const known = await suspendedOne();
  await organizations.of(known);
  isAway = true;
  await expect(organizations.of(organizationId)).rejects.toThrow("it is away");
  expect(await organizations.of(known)).toMatchObject({ isSuspended: true });
  isAway = false;
  expect(await organizations.of(organizationId)).toMatchObject({ isSuspended: true });
});
