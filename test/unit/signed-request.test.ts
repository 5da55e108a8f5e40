import { createHmac } from "node:crypto";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { Webhook } from "standardwebhooks";
import {
  newWebhookSecret,
  signWebhook,
  verifyBodySignature,
  verifyWebhook,
} from "../../mixins/outbound/signed-request.ts";

const outcome = (verify: () => unknown): string => {
  try {
    verify();
    return "accepted";
  } catch (error) {
    return (error as { type?: string }).type ?? String(error);
  }
};
/** Whole bodies that tend to be mangled on the way from the wire to a verifier. */
const bodies: [string, Buffer][] = [
  ["JSON", Buffer.from('{"a":1}')],
  ["JSON with spaces and escapes", Buffer.from('{ "a" : "\\u00e9\\/" }\r\n')],
  ["Devanagari and emoji", Buffer.from('{"text":"नमस्ते 👩‍👩‍👧"}')],
  ["a byte order mark", Buffer.from("\ufeff{}")],
  ["nothing", Buffer.alloc(0)],
  ["bytes that are not UTF-8", Buffer.from([0xff, 0xfe, 0x00, 0xc3, 0x28])],
];

describe("a signature over the body (Meta)", () => {
  const secret = "app-secret";
  const sign = (body: Buffer, key = secret) =>
    `sha256=${createHmac("sha256", key).update(body).digest("hex")}`;
  const check = (header: string | string[] | undefined, body: Buffer, secrets = [secret]) =>
    outcome(() => verifyBodySignature(header, body, secrets));

  test.each(bodies)("is accepted for %s, and refused when any byte differs", (_what, body) => {
    expect(check(sign(body), body)).toBe("accepted");
    expect(check(sign(body), Buffer.concat([body, Buffer.from(" ")]))).toBe("SIGNATURE_INVALID");
    for (let at = 0; at < body.length; at++) {
      const tampered = Buffer.from(body);
      tampered[at] = (tampered[at] as number) ^ 1;
      expect(check(sign(body), tampered)).toBe("SIGNATURE_INVALID");
    }
  });

  const body = Buffer.from("{}");
  const good = sign(body);
  test.each([
    ["absent", undefined, "SIGNATURE_MISSING"],
    ["empty", "", "SIGNATURE_MISSING"],
    ["sent twice", [good, good], "SIGNATURE_MISSING"],
    ["without its scheme", good.slice(7), "SIGNATURE_INVALID"],
    ["of SHA-1", `sha1=${createHmac("sha1", secret).update(body).digest("hex")}`, "SIGNATURE_INVALID"],
    ["a digit too short", good.slice(0, -1), "SIGNATURE_INVALID"],
    ["a digit too long", `${good}0`, "SIGNATURE_INVALID"],
    ["only its scheme", "sha256=", "SIGNATURE_INVALID"],
    ["in base64", `sha256=${Buffer.from(good.slice(7), "hex").toString("base64")}`, "SIGNATURE_INVALID"],
    ["in capitals", good.toUpperCase(), "SIGNATURE_INVALID"],
    ["no hexadecimal", `sha256=${"z".repeat(64)}`, "SIGNATURE_INVALID"],
    ["of as many characters, but more bytes", `sha256=${"ü".repeat(64)}`, "SIGNATURE_INVALID"],
    ["followed by a space", `${good} `, "SIGNATURE_INVALID"],
    ["by another secret", sign(body, "other"), "SIGNATURE_INVALID"],
    ["by no secret", sign(body, ""), "SIGNATURE_INVALID"],
  ])("is refused when it is %s", (_what, header, type) => {
    expect(check(header, body)).toBe(type);
  });

  test("may be by either of two secrets, and by none that was taken away", () => {
    for (const key of ["old", "new"]) expect(check(sign(body, key), body, ["new", "old"])).toBe("accepted");
    expect(check(sign(body, "old"), body, ["new"])).toBe("SIGNATURE_INVALID");
    expect(check(good, body, [])).toBe("SIGNATURE_INVALID");
  });

  test("is never checked with an empty secret", () => {
    expect(() => verifyBodySignature(sign(body, ""), body, [""])).toThrow("empty");
  });
});

describe("a Standard Webhook", () => {
  const secret = newWebhookSecret();
  const now = new Date("2026-03-01T12:00:00.999Z");
  const seconds = Math.floor(now.getTime() / 1000);
  const body = Buffer.from('{"event":"नया"}');
  const signed = (offset = 0, secrets = [secret], id = "msg_1", of: Buffer = body) =>
    signWebhook(of, { id, secrets, now: new Date(now.getTime() + offset * 1000) });
  const check = (
    headers: Record<string, string | string[] | undefined>,
    of: Buffer = body,
    secrets = [secret],
  ) => outcome(() => verifyWebhook(headers, of, { secrets, now }));

  test.each(bodies)("is accepted for %s, and refused when any byte differs", (_what, of) => {
    const headers = signed(0, [secret], "msg_1", of);
    expect(check(headers, of)).toBe("accepted");
    expect(check(headers, Buffer.concat([of, Buffer.from(" ")]))).toBe("SIGNATURE_INVALID");
    for (let at = 0; at < of.length; at++) {
      const tampered = Buffer.from(of);
      tampered[at] = (tampered[at] as number) ^ 0x80;
      expect(check(headers, tampered)).toBe("SIGNATURE_INVALID");
    }
  });

  test("tells its id and when it was sent", () => {
    expect(verifyWebhook(signed(-5), body, { secrets: [secret], now })).toEqual({
      id: "msg_1",
      sentAt: new Date((seconds - 5) * 1000),
    });
  });

  test.each([
    [-301, "SIGNATURE_EXPIRED"],
    [-300, "accepted"],
    [-299, "accepted"],
    [299, "accepted"],
    [300, "accepted"],
    [301, "SIGNATURE_EXPIRED"],
    [-86_400, "SIGNATURE_EXPIRED"],
  ])("sent %d seconds from now: %s", (offset, expected) => {
    expect(check(signed(offset))).toBe(expected);
  });

  const good = signed();
  const signature = good["webhook-signature"];
  test.each([
    ["no id", { "webhook-id": undefined }, "SIGNATURE_MISSING"],
    ["no timestamp", { "webhook-timestamp": undefined }, "SIGNATURE_MISSING"],
    ["no signature", { "webhook-signature": undefined }, "SIGNATURE_MISSING"],
    ["an empty signature", { "webhook-signature": "" }, "SIGNATURE_MISSING"],
    ["an id sent twice", { "webhook-id": ["msg_1", "msg_1"] }, "SIGNATURE_MISSING"],
    ["another id", { "webhook-id": "msg_2" }, "SIGNATURE_INVALID"],
    ["another timestamp", { "webhook-timestamp": String(seconds + 1) }, "SIGNATURE_INVALID"],
    ["a timestamp in ms", { "webhook-timestamp": `${seconds}000` }, "SIGNATURE_INVALID"],
    ["a timestamp that is no number", { "webhook-timestamp": "now" }, "SIGNATURE_INVALID"],
    ["a timestamp with a fraction", { "webhook-timestamp": `${seconds}.0` }, "SIGNATURE_INVALID"],
    ["a negative timestamp", { "webhook-timestamp": "-1" }, "SIGNATURE_INVALID"],
    ["an endless timestamp", { "webhook-timestamp": "9".repeat(400) }, "SIGNATURE_INVALID"],
    ["an id with a line break", { "webhook-id": "msg_1\n" }, "SIGNATURE_INVALID"],
    ["an endless id", { "webhook-id": "m".repeat(256) }, "SIGNATURE_INVALID"],
    ["a signature without its version", { "webhook-signature": signature.slice(3) }, "SIGNATURE_INVALID"],
    ["another version", { "webhook-signature": signature.replace("v1", "v2") }, "SIGNATURE_INVALID"],
    ["the version of asymmetric keys", { "webhook-signature": signature.replace("v1", "v1a") }, "SIGNATURE_INVALID"], // prettier-ignore
    ["a signature too short", { "webhook-signature": signature.slice(0, -1) }, "SIGNATURE_INVALID"],
    ["a signature too long", { "webhook-signature": `${signature}=` }, "SIGNATURE_INVALID"],
    ["a signature in hex", { "webhook-signature": `v1,${Buffer.from(signature.slice(3), "base64").toString("hex")}` }, "SIGNATURE_INVALID"], // prettier-ignore
    ["a signature in base64url", { "webhook-signature": signature.replaceAll("+", "-").replace("=", "") }, "SIGNATURE_INVALID"], // prettier-ignore
    ["a hundred wrong signatures before it", { "webhook-signature": `${"v1,x ".repeat(100)}${signature}` }, "SIGNATURE_INVALID"], // prettier-ignore
    ["another signature before it", { "webhook-signature": `v1,x ${signature}` }, "accepted"],
    ["nothing wrong", {}, "accepted"],
  ])("with %s", (_what, change, expected) => {
    expect(check({ ...good, ...change })).toBe(expected);
  });

  test("whose id could be cut in two ways is refused: the same signature would count for two ids", () => {
    const moved = Buffer.from(`${seconds}.x`);
    const mac = createHmac("sha256", Buffer.from(secret.slice(6), "base64"));
    const both = `v1,${mac.update(`a.${seconds}.${seconds}.x`).digest("base64")}`;
    const headers = { "webhook-timestamp": String(seconds), "webhook-signature": both };
    expect(check({ ...headers, "webhook-id": "a" }, moved)).toBe("accepted");
    expect(check({ ...headers, "webhook-id": `a.${seconds}` }, Buffer.from("x"))).toBe("SIGNATURE_INVALID");
    expect(() => signed(0, [secret], "a.b")).toThrow("may hold");
  });

  test("may be signed by either of two secrets, on either side", () => {
    const other = newWebhookSecret();
    expect(check(signed(0, [other]), body, [secret, other])).toBe("accepted");
    expect(check(signed(0, [secret, other]), body, [other])).toBe("accepted");
    expect(check(signed(0, [other]), body, [secret])).toBe("SIGNATURE_INVALID");
    expect(check(good, body, [])).toBe("SIGNATURE_INVALID");
  });

  test.each(["", "whsec_", "whsec_c2hvcnQ=", "whsec_not base64 at all!", "whsec_=====", `x${secret}`])(
    "is never checked with a secret that is none: %j",
    (bad) => {
      expect(() => verifyWebhook(good, body, { secrets: [bad], now })).toThrow("webhook secret");
    },
  );

  test("is what the package standardwebhooks signs and verifies", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.uuid(), (text, id) => {
        const sentAt = new Date();
        const of = Buffer.from(text);
        const theirs = new Webhook(secret);
        const ours = signWebhook(text, { id, secrets: [secret], now: sentAt });
        expect(() => theirs.verify(of, ours, { jsonParse: false })).not.toThrow();
        const headers = { ...ours, "webhook-signature": theirs.sign(id, sentAt, of) };
        expect(headers).toEqual(ours);
        expect(verifyWebhook(headers, of, { secrets: [secret], now: sentAt }).id).toBe(id);
      }),
    );
  });

  test("of the specification's own example is accepted", () => {
    const headers = {
      "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
      "webhook-timestamp": "1614265330",
      "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    };
    const example = { secrets: ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"], now: new Date(1_614_265_330_000) };
    expect(verifyWebhook(headers, Buffer.from('{"test": 2432232314}'), example).id).toBe(
      headers["webhook-id"],
    );
  });
});
