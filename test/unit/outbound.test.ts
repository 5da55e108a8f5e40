import { BlockList } from "node:net";
import { describe, expect, test } from "@jest/globals";
import fc from "fast-check";
import { isPublicAddress, parseAllowEntry } from "../../mixins/outbound/address.ts";
import { OutboundPolicy } from "../../mixins/outbound/policy.ts";

const reasonOf = (policy: OutboundPolicy, url: string): string => {
  try {
    policy.parse(url);
    return "called";
  } catch (error) {
    return (error as { data: { reason: string } }).data.reason;
  }
};

describe("a URL that is not called", () => {
  const policy = new OutboundPolicy();
  test.each([
    // loopback, in every form that a browser understands
    ["http://127.0.0.1/", "host"],
    ["http://127.0.0.1./", "host"],
    ["http://127.255.255.254/", "host"],
    ["http://127.1/", "host"],
    ["http://127.0.1/", "host"],
    ["http://2130706433/", "host"],
    ["http://0x7f000001/", "host"],
    ["http://0X7F.0.0.1/", "host"],
    ["http://0x7f.1/", "host"],
    ["http://0177.0.0.1/", "host"],
    ["http://017700000001/", "host"],
    ["http://0177.0.0x0.1/", "host"],
    ["http://00000177.0.0.1/", "host"],
    ["http://%31%32%37.0.0.1/", "host"],
    ["http://①②⑦.⓪.⓪.①/", "host"],
    ["http://127。0。0。1/", "host"],
    ["http://１２７.0.0.1/", "host"],
    ["http://[::1]/", "host"],
    ["http://[0:0:0:0:0:0:0:1]/", "host"],
    ["http://[0000::0001]/", "host"],
    ["http://0/", "host"],
    ["http://0.0.0.0/", "host"],
    ["http://[::]/", "host"],
    // names for it
    ["http://localhost/", "host"],
    ["http://LOCALHOST/", "host"],
    ["http://localhost./", "host"],
    ["http://app.localhost/", "host"],
    ["http://ｌｏｃａｌｈｏｓｔ/", "host"],
    ["http://loc\u00adalhost/", "host"],
    ["http://l%6fcalhost/", "host"],
    ["http://localhost.localdomain/", "host"],
    ["http://printer.local/", "host"],
    ["http://nas.home.arpa/", "host"],
    ["http://redis/", "host"],
    ["http://postgres.default.svc.cluster.local/", "host"],
    ["http://example.com./", "host"],
    // private and shared networks
    ["http://10.0.0.1/", "host"],
    ["http://10.255.255.255/", "host"],
    ["http://167772161/", "host"],
    ["http://172.16.0.1/", "host"],
    ["http://172.31.255.255/", "host"],
    ["http://192.168.0.1/", "host"],
    ["http://192.168.257/", "host"],
    ["http://100.64.0.1/", "host"],
    ["http://100.127.255.255/", "host"],
    ["http://[fc00::1]/", "host"],
    ["http://[fd12:3456:789a::1]/", "host"],
    ["http://[fe80::1]/", "host"],
    ["http://[fec0::1]/", "host"],
    // metadata of clouds
    ["http://169.254.169.254/latest/meta-data/", "host"],
    ["http://2852039166/", "host"],
    ["http://0xa9fea9fe/", "host"],
    ["http://0251.0376.0251.0376/", "host"],
    ["http://169.254.43518/", "host"],
    ["http://[fd00:ec2::254]/", "host"],
    ["http://[fd20:ce::254]/", "host"],
    ["http://metadata.google.internal/", "host"],
    ["http://METADATA.google.internal./", "host"],
    ["http://100.100.100.200/", "host"],
    ["http://192.0.0.192/", "host"],
    ["http://168.63.129.16/", "host"],
    // other addresses that are nobody's server
    ["http://224.0.0.1/", "host"],
    ["http://239.255.255.255/", "host"],
    ["http://240.0.0.1/", "host"],
    ["http://255.255.255.255/", "host"],
    ["http://192.0.2.1/", "host"],
    ["http://198.18.0.1/", "host"],
    ["http://198.51.100.1/", "host"],
    ["http://203.0.113.1/", "host"],
    ["http://192.88.99.1/", "host"],
    ["http://[ff02::1]/", "host"],
    ["http://[2001:db8::1]/", "host"],
    ["http://[3fff::1]/", "host"],
    ["http://[100::1]/", "host"],
    ["http://[5f00::1]/", "host"],
    // IPv4 inside IPv6
    ["http://[::ffff:127.0.0.1]/", "host"],
    ["http://[::ffff:7f00:1]/", "host"],
    ["http://[::ffff:8.8.8.8]/", "host"],
    ["http://[::ffff:0:127.0.0.1]/", "host"],
    ["http://[::127.0.0.1]/", "host"],
    ["http://[::a9fe:a9fe]/", "host"],
    ["http://[2002:7f00:1::]/", "host"],
    ["http://[2002:a9fe:a9fe::1]/", "host"],
    ["http://[64:ff9b::7f00:1]/", "host"],
    ["http://[64:ff9b::169.254.169.254]/", "host"],
    ["http://[64:ff9b:1::7f00:1]/", "host"],
    ["http://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/", "host"],
    // who is really asked
    ["http://example.com@127.0.0.1/", "credentials"],
    ["http://user:secret@example.com/", "credentials"],
    ["http://user@example.com/", "credentials"],
    ["http://127.0.0.1#@example.com/", "host"],
    ["http://127.0.0.1?@example.com/", "host"],
    ["http://127.0.0.1\\@example.com/", "host"],
    ["http:127.0.0.1/", "host"],
    ["http:\\\\127.0.0.1/", "host"],
    ["ht\ntp://127.0.\t0.1/", "host"],
    [" http://127.0.0.1/ ", "host"],
    // schemes and ports
    ["file:///etc/passwd", "scheme"],
    ["ftp://example.com/", "scheme"],
    ["gopher://example.com:6379/_FLUSHALL", "scheme"],
    ["data:text/plain,x", "scheme"],
    ["javascript:alert(1)", "scheme"],
    ["ws://example.com/", "scheme"],
    ["unix:/var/run/docker.sock", "scheme"],
    ["http://example.com:22/", "port"],
    ["http://example.com:6379/", "port"],
    ["https://8.8.8.8:8443/", "port"],
    ["http://example.com:0/", "port"],
    // no URLs
    ["", "url"],
    ["/hooks", "url"],
    ["//example.com/", "url"],
    ["http://", "url"],
    ["http://256.0.0.1/", "url"],
    ["http://1.2.3.4.5/", "url"],
    ["http://[::1", "url"],
    ["http://[fe80::1%25eth0]/", "url"],
    ["http://exa mple.com/", "url"],
    ["http://example.com:99999/", "url"],
    [`http://example.com/${"a".repeat(2_048)}`, "url"],
  ])("%j, because of its %s", (url, reason) => {
    expect(reasonOf(policy, url)).toBe(reason);
  });
});

test.each([
  ["http://example.com/", "http://example.com/"],
  ["https://example.com:443/a?b#c", "https://example.com/a?b#c"],
  ["http://example.com:80/", "http://example.com/"],
  ["https://example.com:80/", "https://example.com:80/"],
  ["https://8.8.8.8/", "https://8.8.8.8/"],
  ["http://134744072/", "http://8.8.8.8/"],
  ["https://172.15.255.255/", "https://172.15.255.255/"],
  ["https://172.32.0.0/", "https://172.32.0.0/"],
  ["https://100.63.255.255/", "https://100.63.255.255/"],
  ["https://100.128.0.0/", "https://100.128.0.0/"],
  ["https://[2606:4700::1111]/", "https://[2606:4700::1111]/"],
  ["https://münchen.example/", "https://xn--mnchen-3ya.example/"],
  ["https://localhost.example.com/", "https://localhost.example.com/"],
  ["https://notlocalhost.com/", "https://notlocalhost.com/"],
  ["https://internal.example.com/", "https://internal.example.com/"],
])("%s is called as %s", (url, called) => {
  expect(new OutboundPolicy().parse(url).href).toBe(called);
});

describe("what the operator allows", () => {
  const policy = new OutboundPolicy([
    "127.0.0.1",
    "10.1.0.0/16",
    "fd12::/48",
    "hooks.corp.internal",
    "*.onprem.example",
  ]);
  test.each([
    ["http://127.0.0.1:8080/", "called"],
    ["http://2130706433:8080/", "called"],
    ["http://127.0.0.2/", "host"],
    ["http://10.1.255.255:9000/", "called"],
    ["http://10.2.0.0/", "host"],
    ["http://[fd12::5]:81/", "called"],
    ["http://[fd13::5]/", "host"],
    ["http://[::ffff:10.1.0.1]/", "host"],
    ["http://hooks.corp.internal:3000/", "called"],
    ["http://x.hooks.corp.internal/", "host"],
    ["http://a.onprem.example:3000/", "called"],
    ["http://user@127.0.0.1/", "credentials"],
    ["http://169.254.169.254/", "host"],
    ["http://localhost/", "host"],
  ])("%s: %s", (url, outcome) => {
    expect(reasonOf(policy, url)).toBe(outcome);
  });

  test("by a network holds for the address that a name has in the end", () => {
    expect(policy.isPermitted("crm.example", 9000, "10.1.0.1")).toBe(true);
    expect(policy.isPermitted("crm.example", 9000, "8.8.8.8")).toBe(false);
    expect(policy.isPermitted("crm.example", 443, "8.8.8.8")).toBe(true);
    expect(policy.isPermitted("crm.example", 443, "10.2.0.1")).toBe(false);
    expect(policy.isPermitted("hooks.corp.internal", 3000, "192.168.0.1")).toBe(true);
  });

  test.each([
    "10.0.0.0/33",
    "10.0.0",
    "::/129",
    "10.0.0.0/",
    "http://x",
    "a b",
    "*",
    "x..y",
    "1.2.3.4:80",
    "",
  ])("is not said by %j", (entry) => {
    expect(parseAllowEntry(entry)).toBeUndefined();
  });
});

/** IANA's special-purpose registries, and IPv6 outside of global unicast, as the kernel's own block list reads them. */
const special = new BlockList();
for (const network of [
  "0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24 192.31.196.0/24",
  "192.52.193.0/24 192.88.99.0/24 192.168.0.0/16 192.175.48.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24",
  "224.0.0.0/4 240.0.0.0/4 168.63.129.16/32",
]
  .join(" ")
  .split(" ")) {
  const [address = "", prefix] = network.split("/");
  special.addSubnet(address, Number(prefix), "ipv4");
}
const specialV6 = new BlockList();
for (const network of "::/3 4000::/2 8000::/1 2001::/23 2001:db8::/32 2002::/16 2620:4f:8000::/48 3fff::/20".split(
  " ",
)) {
  const [address = "", prefix] = network.split("/");
  specialV6.addSubnet(address, Number(prefix), "ipv6");
}

describe("an address is public exactly when no registry calls it special", () => {
  // near the edges of networks is where a mask goes wrong
  const edges = ["10.0.0.0", "100.64.0.0", "127.0.0.0", "169.254.0.0", "172.16.0.0", "172.32.0.0", "192.0.0.0", "192.168.0.0", "198.18.0.0", "198.20.0.0", "224.0.0.0", "240.0.0.0"]; // prettier-ignore
  const toNumber = (text: string) => text.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
  const toText = (value: number) =>
    [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
  const v4 = fc.oneof(
    fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    fc
      .tuple(fc.constantFrom(...edges), fc.integer({ min: -2, max: 2 }))
      .map(([edge, step]) => toNumber(edge) + step),
  );

  test("of IPv4", () => {
    fc.assert(
      fc.property(v4, (value) => {
        const address = toText(value);
        expect(isPublicAddress(address)).toBe(!special.check(address, "ipv4"));
      }),
      { numRuns: 2_000 },
    );
  });

  const group = fc.integer({ min: 0, max: 0xffff });
  const head = fc.constantFrom(0, 0x64, 0x100, 0x2000, 0x2001, 0x2002, 0x2620, 0x3ffe, 0x3fff, 0x5f00, 0xfc00, 0xfdff, 0xfe80, 0xfec0, 0xff02); // prettier-ignore
  const second = fc.oneof(
    group,
    fc.constantFrom(0, 1, 2, 3, 4, 0x10, 0x20, 0x4f, 0x1ff, 0x200, 0xdb8, 0xff9b),
  );
  const v6 = fc.tuple(fc.oneof(group, head), second, fc.oneof(group, fc.constantFrom(0, 0x112, 0x8000)), group, group, group, group, group); // prettier-ignore

  test("of IPv6", () => {
    fc.assert(
      fc.property(v6, (groups) => {
        const address = groups.map((part) => part.toString(16)).join(":");
        expect(isPublicAddress(address)).toBe(!specialV6.check(address, "ipv6"));
      }),
      { numRuns: 2_000 },
    );
  });

  test("and IPv6 that carries IPv4 never is, whatever it carries", () => {
    fc.assert(
      fc.property(v4, (value) => {
        const [high, low] = [Math.floor(value / 65_536).toString(16), (value % 65_536).toString(16)];
        for (const address of [
          `::ffff:${high}:${low}`,
          `::${high}:${low}`,
          `64:ff9b::${high}:${low}`,
          `2002:${high}:${low}::1`,
          `2001:0:${high}:${low}::1`,
        ])
          expect(isPublicAddress(address)).toBe(false);
      }),
    );
  });

  test("a URL with any spelling of an address is judged as the address", () => {
    const policy = new OutboundPolicy();
    fc.assert(
      fc.property(v4, (value) => {
        const parts = toText(value).split(".").map(Number);
        const expected = special.check(toText(value), "ipv4") ? "host" : "called";
        for (const host of [
          String(value),
          `0x${value.toString(16)}`,
          `0${value.toString(8)}`,
          parts.map((part) => `0${part.toString(8)}`).join("."),
          parts.map((part) => `0x${part.toString(16)}`).join("."),
          `${parts[0]}.${value % 2 ** 24}`,
          `${parts[0]}.${parts[1]}.${value % 2 ** 16}`,
          `${toText(value)}.`,
        ])
          expect(reasonOf(policy, `http://${host}/`)).toBe(expected);
      }),
    );
  });

  test.each(["", "x", "1.2.3", "010.0.0.1", "8.8.8.8 ", "fe80::1%eth0", "2606:4700::1111%1"])(
    "and what no socket would take is not: %j",
    (text) => {
      expect(isPublicAddress(text)).toBe(false);
    },
  );
});
