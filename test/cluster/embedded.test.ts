import { afterAll, afterEach, beforeAll, describe, expect, test } from "@jest/globals";
import { existsSync, readdirSync, readlinkSync, renameSync, statSync } from "node:fs";
import { request, type ClientRequest } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { Client } from "../support/client.ts";
import { Installations, isReady, postmasterOf, readiness, serversOf } from "../support/embedded.ts";
import { startNginx } from "../support/nginx.ts";
import { eventually } from "../support/eventually.ts";
import type { NodeProcess } from "../support/process.ts";

const installations = new Installations();
beforeAll(() => installations.prepare(), 180_000);
afterEach(() => installations.clear(), 60_000);
afterAll(() => installations.remove());

const takesLeads = (client: Client) =>
  eventually(async () => (await client.post("/leads", { lastName: "Back" })).status === 201, 30_000);

describe("a PostgreSQL that is killed", () => {
  test("is started again, at the same address, and nothing stored is lost", async () => {
    const folder = installations.usedFolder();
    const node = await installations.start(folder);
    const admin = await new Client(node.origin).register("Killed");
    expect((await admin.post("/leads", { lastName: "Before" })).status).toBe(201);
    const first = postmasterOf(folder);
    process.kill(first, "SIGKILL");
    await takesLeads(admin);
    // a connection that broke with it may still be found broken, and is a 503
    const counted = await eventually(async () => {
      const answer = await admin.get("/leads?count=true");
      return answer.status === 200 && answer;
    });
    expect(counted.body).toMatchObject({ page: { total: 2 } });
    expect(postmasterOf(folder)).not.toBe(first);
    expect(node.output()).toContain("PostgreSQL does not run: it was ended by SIGKILL. It is started again.");
    expect(node.output()).toContain("PostgreSQL runs again.");
  });

  test("and cannot come back does not hold up SIGTERM, and is named until then", async () => {
    const folder = installations.usedFolder();
    const node = await installations.start(folder);
    const admin = await new Client(node.origin).register("Held");
    const control = join(folder, "postgres/global/pg_control");
    renameSync(control, `${control}.away`);
    process.kill(postmasterOf(folder), "SIGKILL");
    await eventually(async () => (await readiness(node)).text.includes("could not find the database system"));
    expect((await admin.get("/leads")).status).toBe(503);
    expect((await fetch(`${node.origin}/health`)).status).toBe(503);
    const from = performance.now();
    expect(await node.stop()).toBe(0);
    expect(performance.now() - from).toBeLessThan(5_000);
    renameSync(`${control}.away`, control);
    await installations.start(folder);
  });
});

describe("a process that is killed", () => {
  test("leaves a PostgreSQL that the next start ends, going on with its data", async () => {
    const folder = installations.usedFolder();
    const killed = await installations.start(folder);
    const admin = await new Client(killed.origin).register("Orphan");
    const orphan = postmasterOf(folder);
    killed.kill("SIGKILL");
    await killed.ended;
    expect(serversOf(folder)).toContain(orphan);
    const next = await installations.start(folder);
    expect(serversOf(folder)).not.toContain(orphan);
    expect((await new Client(next.origin, sessionOf(admin)).get("/leads")).status).toBe(200);
  });

  test("and is started three times at once afterwards, runs once: the others say who has the folder", async () => {
    const folder = installations.usedFolder();
    const killed = await installations.start(folder);
    killed.kill("SIGKILL");
    await killed.ended;
    const starting = await Promise.all([
      installations.launch(folder),
      installations.launch(folder),
      installations.launch(folder),
    ]);
    const codes = await Promise.all(
      starting
        .map((each) => Promise.race([each.ended, each.running.then(() => "runs")]))
        .map(async (code) => {
          try {
            return await code;
          } catch {
            return 1;
          }
        }),
    );
    expect(codes.toSorted()).toEqual([1, 1, "runs"]);
    const winner = starting[codes.indexOf("runs")] as NodeProcess;
    for (const loser of starting.filter((each) => each !== winner))
      expect(loser.output()).toMatch(
        new RegExp(`Sangam did not start. ${folder} is in use by another Sangam \\(process \\d+\\)`),
      );
    // nobody took its PostgreSQL away
    const late = await installations.launch(folder);
    expect(await late.ended).toBe(1);
    expect(late.output()).toContain(`(process ${winner.child.pid})`);
    await isReady(winner);
    expect(winner.output()).not.toContain("PostgreSQL does not run");
  }, 120_000);

  test("while it makes its database leaves nothing that keeps the next from making it", async () => {
    const folder = installations.emptyFolder();
    const killed = await installations.launch(folder);
    await eventually(
      () => readdirSync(folder).some((name) => existsSync(join(folder, name, "postgres/PG_VERSION"))),
      30_000,
    );
    killed.kill("SIGKILL");
    await killed.ended;
    await installations.start(folder);
    expect(readdirSync(folder).filter((name) => name.startsWith("postgres.new"))).toEqual([]);
  }, 120_000);
});

describe("a start", () => {
  test("that is told to stop stops what it has started", async () => {
    const folder = installations.usedFolder();
    const starting = await installations.launch(folder);
    await eventually(() => serversOf(folder).length > 0, 30_000);
    const from = performance.now();
    expect(await starting.stop()).toBe(0);
    expect(performance.now() - from).toBeLessThan(10_000);
    expect(serversOf(folder)).toEqual([]);
    expect(starting.output()).not.toContain("did not start");
    await installations.start(folder);
  });

  test("with a port that is in use names the setting and who has the port, and leaves nothing running", async () => {
    const folder = installations.usedFolder();
    const taken = createServer();
    const port = await new Promise<number>((done) =>
      taken.listen(0, "127.0.0.1", () => done((taken.address() as { port: number }).port)),
    );
    try {
      for (const name of ["PORT", "METRICS_PORT"]) {
        const refused = await installations.launch(folder, { [name]: String(port) });
        expect(await refused.ended).toBe(1);
        expect(refused.output()).toContain(
          `Sangam did not start. ${name} ${port} is in use by process ${process.pid} (`,
        );
        expect(refused.output().trim()).toMatch(
          new RegExp(`, in ${process.cwd()}\\); choose another, or 0 for any free one.$`),
        );
      }
      expect(serversOf(folder)).toEqual([]);
    } finally {
      taken.close();
    }
  });
});

describe("the outbox of mails", () => {
  const ask = async (origin: string) => (await fetch(`${origin}/dev/outbox`)).status;
  const behind = async (node: NodeProcess, version: string) => {
    const { host } = new URL(node.origin);
    const nginx = await startNginx([host], `proxy_http_version ${version}; proxy_pass http://${host};`);
    try {
      return await ask(nginx.origin);
    } finally {
      await nginx.stop();
    }
  };

  test("is closed where users come in by another address, whatever a proxy adds or does not", async () => {
    const node = await installations.start(installations.usedFolder(), {
      PUBLIC_URL: "https://crm.example.com",
    });
    expect(await behind(node, "1.1")).toBe(404);
    expect(await ask(node.origin)).toBe(404);
  });

  test("is open to callers on the machine, and not to those that a plain nginx passes on", async () => {
    const node = await installations.start(installations.usedFolder());
    expect(await ask(node.origin)).toBe(200);
    expect(await behind(node, "1.0")).toBe(404);
  });
});

describe("an upload", () => {
  const boundary = "------------------------sangam";
  const head = `--${boundary}\r\ncontent-disposition: form-data; name="file"; filename="leads.csv"\r\n`;
  /** Sends the beginning of a file, and not its end. */
  const begin = (node: NodeProcess, admin: Client, bytes: number): ClientRequest => {
    const sent = request(`${node.origin}/api/v1/leads/import`, {
      method: "POST",
      headers: {
        authorization: `Bearer ${admin.token}`,
        "content-type": `multipart/form-data; boundary=${boundary}`,
      },
    });
    sent.on("error", () => undefined); // its server is killed
    sent.write(`${head}content-type: text/csv\r\n\r\n${"Email\n".repeat(bytes / 6)}`);
    return sent;
  };
  /** Bytes of the nameless files that a process has open. */
  const spooled = ({ child: { pid } }: NodeProcess) =>
    readdirSync(`/proc/${pid}/fd`)
      .map((fd) => `/proc/${pid}/fd/${fd}`)
      .filter((fd) => /sangam-upload-.* \(deleted\)$/.test(readlinkSync(fd)))
      .reduce((sum, fd) => sum + statSync(fd).size, 0);

  test("leaves nothing on the disk when its process is killed", async () => {
    const spool = installations.emptyFolder();
    const node = await installations.start(installations.usedFolder(), { TMPDIR: spool });
    const admin = await new Client(node.origin).register("Spool");
    begin(node, admin, 600_000);
    await eventually(() => spooled(node) > 500_000);
    node.kill("SIGKILL");
    await node.ended;
    expect(readdirSync(spool)).toEqual([]);
  });
});

describe("npm start", () => {
  test("passes SIGTERM on, to npm alone, and leaves nothing behind", async () => {
    const folder = installations.usedFolder();
    const npm = await installations.start(folder, { HOME: folder }, { command: ["npm", "start"] });
    npm.child.kill("SIGTERM");
    await npm.ended;
    await eventually(() => serversOf(folder).length === 0, 10_000);
    for (const origin of [npm.origin, npm.metricsOrigin])
      await expect(fetch(`${origin}/health/live`)).rejects.toThrow("fetch failed");
  });

  test("with a REPL keeps its log to lines for people, and exit loses no connection", async () => {
    const folder = installations.usedFolder();
    const repl = await installations.start(
      folder,
      { HOME: folder, LOG_LEVEL: "debug" },
      { command: ["npm", "start", "--", "--repl"], input: "pipe" },
    );
    await eventually(() => repl.output().includes("mol $"));
    repl.child.stdin?.write("env\n");
    await eventually(() => repl.output().includes("NODE_ID"));
    expect(repl.output()).toContain("MASTER_KEY");
    expect(repl.output()).not.toContain(Buffer.alloc(32, 7).toString("base64"));
    repl.child.stdin?.write("exit\n");
    expect(await repl.ended).toBe(0);
    expect(repl.output()).not.toMatch(/^\{"/m);
    expect(repl.output()).toMatch(/^\d\d:\d\d:\d\d DEBUG postgres: /m);
    expect(repl.output()).not.toContain("connection lost");
    expect(serversOf(folder)).toEqual([]);
  });
});

const sessionOf = (client: Client) => ({
  accessToken: client.token as string,
  refreshToken: client.refreshToken as string,
  user: { id: client.userId },
  organization: { id: client.organizationId },
});
