import type { IncomingMessage, ServerResponse } from "node:http";
import { expect, test } from "@jest/globals";
import { BrowserCookie } from "../../services/gateway/browser-answer.ts";

const key = "k".repeat(43);
const read = (apiUrl: string, cookie?: string) =>
  new BrowserCookie(apiUrl).read({ headers: { cookie } } as IncomingMessage);

test("over https the cookie is secure, and no other host of the domain can set it", () => {
  const headers: Record<string, string> = {};
  const setHeader = (name: string, value: string) => void (headers[name] = value);
  new BrowserCookie("https://api.test").write({ setHeader } as unknown as ServerResponse, key);
  expect(headers["Set-Cookie"]).toBe(
    `__Host-sangam_sign_in=${key}; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure`,
  );
  expect(read("https://api.test", `__Host-sangam_sign_in=${key}`)).toBe(key);
  expect(read("https://api.test", `sangam_sign_in=${key}`)).toBeUndefined();
});

test.each([
  [undefined, undefined],
  ["other=1", undefined],
  [`a=b; sangam_sign_in=${key};c=d`, key],
  [`sangam_sign_in=${key}x`, undefined],
  ["sangam_sign_in=", undefined],
  [`xsangam_sign_in=${key}`, undefined],
])("of the header %j it reads %j", (header, expected) => {
  expect(read("http://localhost:3000", header)).toBe(expected);
});
