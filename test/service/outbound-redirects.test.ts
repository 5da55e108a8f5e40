import { describe, expect, test } from "@jest/globals";
import { ask, local, redirect, refusal, stage, useOutboundStage } from "../support/outbound.ts";

useOutboundStage();

describe("a redirect", () => {
  test("is followed three times, and not a fourth", async () => {
    const chain = { "/1": [302, "/2"], "/2": [301, "./3"], "/3": [307, local("/4")] } as const;
    stage.handler = redirect({ ...chain } as never);
    expect((await ask(local("/1"))).url).toBe(local("/4"));
    stage.handler = redirect({ ...chain, "/4": [308, "/5"] } as never);
    await expect(ask(local("/1"))).rejects.toMatchObject(refusal("too_many_redirects"));
    expect(stage.seen.map(({ url }) => url)).toEqual(["/1", "/2", "/3", "/4", "/1", "/2", "/3", "/4"]);
    stage.seen.length = 0;
    await expect(ask(local("/1"), { mostRedirects: 0 })).rejects.toMatchObject(refusal("too_many_redirects"));
    await expect(ask(local("/1"), { mostRedirects: 50 })).rejects.toMatchObject(
      refusal("too_many_redirects"),
    );
    expect(stage.seen).toHaveLength(5);
  });

  test("in a circle ends", async () => {
    stage.handler = redirect({ "/": [302, "/"] });
    await expect(ask(local())).rejects.toMatchObject(refusal("too_many_redirects"));
    expect(stage.seen).toHaveLength(4);
  });

  test.each([
    ["http://169.254.169.254/latest/meta-data/", "host"],
    ["http://127.0.0.2/", "host"],
    ["http://2130706434/", "host"],
    ["http://[::1]/", "host"],
    ["http://[::ffff:127.0.0.1]/", "host"],
    ["http://localhost/", "host"],
    ["//metadata.google.internal/", "host"],
    ["http://user:secret@127.0.0.1/", "credentials"],
    ["file:///etc/passwd", "scheme"],
    ["gopher://127.0.0.1/", "scheme"],
    ["http://", "url"],
  ])("to %s is refused", async (location, reason) => {
    stage.handler = redirect({ "/": [302, location] });
    await expect(ask(local())).rejects.toMatchObject(refusal(reason));
    expect(stage.seen).toHaveLength(1);
  });

  test("after permitted ones is still checked", async () => {
    stage.handler = redirect({ "/1": [302, "/2"], "/2": [302, "http://10.0.0.1/"] });
    await expect(ask(local("/1"))).rejects.toMatchObject(refusal("host"));
  });

  test("from https to http is refused; from http to https is followed", async () => {
    stage.handler = redirect({
      "/down": [302, local("/x")],
      "/up": [302, `https://127.0.0.1:${stage.securePort}/x`],
    });
    await expect(ask(`https://127.0.0.1:${stage.securePort}/down`)).rejects.toMatchObject(
      refusal("downgrade"),
    );
    expect(stage.seen.map(({ url }) => url)).toEqual(["/down"]);
    expect((await ask(local("/up"))).url).toBe(`https://127.0.0.1:${stage.securePort}/x`);
  });

  const secrets = {
    authorization: "Bearer s",
    cookie: "a=b",
    "x-api-key": "k",
    "webhook-signature": "v1,s",
    accept: "text/plain",
  };
  test("to another origin carries no secrets on; to the same one it does", async () => {
    stage.dns.answers.set("other.example.com", [["127.0.0.1"]]);
    stage.handler = redirect({ "/1": [302, "/2"], "/2": [302, `http://other.example.com:${stage.port}/3`], "/3": [302, local("/4")] }); // prettier-ignore
    await ask(local("/1"), { headers: secrets });
    expect(stage.seen[1]?.headers).toMatchObject(secrets);
    for (const { headers } of stage.seen.slice(2)) {
      expect(headers).toMatchObject({ accept: "text/plain" });
      expect(Object.keys(headers)).not.toEqual(
        expect.arrayContaining([expect.stringMatching(/authorization|cookie|key|signature/)]),
      );
    }
  });

  test("drops the body when it turns a POST into a GET, and keeps it with 307 and 308", async () => {
    const post = { method: "POST", body: "b", headers: { "content-type": "text/plain" } } as const;
    for (const status of [301, 302, 303, 307, 308]) {
      stage.handler = redirect({ "/": [status, "/to"] });
      await ask(local(), post);
    }
    const arrived = stage.seen.filter(({ url }) => url === "/to");
    expect(arrived.map(({ method, body }) => `${method} ${body}`)).toEqual([
      ...["GET ", "GET ", "GET "],
      ...["POST b", "POST b"],
    ]);
    expect(arrived[0]?.headers).not.toHaveProperty("content-type");
  });
});
