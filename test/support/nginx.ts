import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "../../mixins/process/ports.ts";
import { eventually } from "./eventually.ts";
import { requireProgram } from "./programs.ts";

export interface Nginx {
  origin: string;
  stop(): Promise<void>;
}

/**
 * nginx from the PATH in front of these gateways (`host:port`), on the loopback without TLS. What concerns
 * a gateway that goes and comes is as in ops/nginx/nginx.conf, but idle connections are kept for 1 s.
 * @param location what its only location says; default: pass to the gateways
 * @param workers for thousands of sockets: so many processes, each with up to 19,000 connections, and the gateways as in the
 *   upstream `sockets` of that file
 */
export async function startNginx(
  gateways: string[],
  location = "proxy_pass http://gateways;",
  workers?: number,
): Promise<Nginx> {
  requireProgram("nginx");
  const folder = mkdtempSync(join(tmpdir(), "sangam-nginx-"));
  const port = await freePort();
  const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
  writeFileSync(
    join(folder, "nginx.conf"),
    `daemon off;
pid ${folder}/nginx.pid;
error_log stderr crit;
${workers === undefined ? "" : `worker_processes ${workers};\nworker_rlimit_nofile 20000;`}
events { worker_connections ${workers === undefined ? 1024 : 19_000}; }
http {
  ${temporary.map((name) => `${name}_temp_path ${folder}/${name};`).join("\n  ")}
  access_log off;
  upstream gateways {
    zone gateways 128k;
    least_conn;
    ${gateways.map((gateway) => `server ${gateway} ${workers === undefined ? "max_fails=3 fail_timeout=5s" : "max_fails=0"};`).join("\n    ")}
    keepalive 64;
    keepalive_timeout 1s;
  }
  server {
    listen 127.0.0.1:${port}${workers === undefined ? "" : " reuseport backlog=16384"};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_connect_timeout 3s;
    proxy_next_upstream_tries 2;
    location / { ${location} }
  }
}
`,
  );
  const server = spawn("nginx", ["-p", folder, "-c", join(folder, "nginx.conf"), "-e", "stderr"], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  let output = "";
  server.stderr.on("data", (chunk) => (output += String(chunk)));
  const ended = new Promise<void>((done) => server.once("exit", () => done()));
  const origin = `http://127.0.0.1:${port}`;
  await Promise.race([
    ended.then(() => Promise.reject(new Error(`nginx ended:\n${output}`))),
    eventually(() => fetch(origin).then(() => true)),
  ]);
  return {
    origin,
    async stop() {
      server.kill("SIGTERM");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
