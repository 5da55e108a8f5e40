import { describe, expect, test } from "@jest/globals";
import { isEasilyGuessed, removesAdmin, whySessionsEnd } from "../../services/identity/identity.rules.ts";
import { hashPassword, isPassword, nobodysHash } from "../../services/identity/sign-in/passwords.ts";
import { SealedBox } from "../../mixins/encryption/sealed-box.ts";
import { newRefreshToken, readRefreshToken } from "../../services/identity/sessions/refresh-token.ts";
import { commonPasswords } from "../../services/identity/sign-in/common-passwords.ts";

const admin = { role: "admin", isActive: true };
const gone = { role: "admin", isActive: false };
const viewer = { role: "viewer", isActive: true };

test.each([
  ["password123", true],
  ["PassWord123", true],
  ["asha@example.com", true],
  ["ASHA@EXAMPLE.COM", true],
  ["asha.raghunathan", true],
  ["Asha Raghunathan", true],
  ["asharaghunathan", true],
  ["correct mule battery", false],
  ["password123 and more", false],
])("of the password %s it is %s that it is easily guessed", (password, expected) => {
  const names = ["Asha Raghunathan", "asha@example.com", "asha.raghunathan@example.com"];
  expect(isEasilyGuessed(password, names)).toBe(expected);
});

test("every common password is as long as the API asks for, and they are many", () => {
  expect(
    [...commonPasswords].filter((password) => password.length < 10 || password !== password.toLowerCase()),
  ).toEqual([]);
  expect(commonPasswords.size).toBeGreaterThan(99);
});

test.each([
  ["deactivating an admin", admin, gone, true],
  ["demoting an admin", admin, viewer, true],
  ["renaming an admin", admin, admin, false],
  ["demoting an inactive admin", gone, { role: "viewer", isActive: false }, false],
  ["promoting a viewer", viewer, admin, false],
])("%s: takes an active admin away? %s %s %s", (_case, before, after, expected) => {
  expect(removesAdmin(before, after)).toBe(expected);
});

test.each([
  ["deactivation", admin, gone, "deactivated"],
  ["another role", viewer, admin, "role_changed"],
  ["another role and deactivation", viewer, gone, "deactivated"],
  ["no change", viewer, viewer, null],
  ["reactivation", gone, admin, null],
])("%s ends sessions: %j %j %s", (_case, before, after, expected) => {
  expect(whySessionsEnd(before, after)).toBe(expected);
});

describe("a refresh token", () => {
  const box = new SealedBox([Buffer.alloc(32, 1).toString("base64")]);
  const sessionId = "0198c0de-0000-7000-8000-000000000001";

  test("names its session and is stored as a hash only", () => {
    const { token, hash } = newRefreshToken(box, sessionId);
    expect(readRefreshToken(token)).toMatchObject({ sessionId, hash });
    expect(hash).not.toContain(token.slice(-10));
    expect(newRefreshToken(box, sessionId).token).not.toBe(token);
  });

  test("is known again as ours, also under a newer master key, and not when any of it is another", () => {
    const { token } = newRefreshToken(box, sessionId);
    const isOurs = (text: string, by = box) => readRefreshToken(text)?.isOurs(by);
    const key = (fill: number) => Buffer.alloc(32, fill).toString("base64");
    expect(isOurs(token)).toBe(true);
    expect(isOurs(token, new SealedBox([key(2), key(1)]))).toBe(true);
    expect(isOurs(token, new SealedBox([key(2)]))).toBe(false);
    expect(isOurs(token.replace("0198c0de", "0198c0df"))).toBe(false);
    expect(isOurs(`${sessionId}.${"a".repeat(43)}`)).toBe(false);
  });

  test.each([
    "",
    ".",
    "garbage",
    sessionId,
    `${sessionId}.short`,
    `x.${"a".repeat(43)}`,
    `${sessionId}.${"a".repeat(43)}.b`,
  ])("is not read from %j", (text) => {
    expect(readRefreshToken(text)).toBeNull();
  });
});

describe("a password", () => {
  test("is hashed with argon2id, 19 MiB, two passes", async () => {
    expect(await hashPassword("correct mule battery")).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
  });

  test("is the one hashed, however its characters are composed, and no other", async () => {
    const hashed = await hashPassword("caf\u00e9 au lait");
    expect(await isPassword("cafe\u0301 au lait", hashed)).toBe(true);
    expect(await isPassword("cafe au lait", hashed)).toBe(false);
  });

  test("without a hash is wrong, and compared with one of the same cost", async () => {
    const costOf = (hash: string) => hash.split("$").map((part, index) => (index < 4 ? part : part.length));
    expect(costOf(nobodysHash)).toEqual(costOf(await hashPassword("correct mule battery")));
    expect(await isPassword("wrong", undefined)).toBe(false);
    expect(await isPassword("wrong", "")).toBe(false);
  });
});
