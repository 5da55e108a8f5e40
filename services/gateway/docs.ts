import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { appError } from "../../mixins/contract/errors.ts";
import { openApiDocument } from "./openapi.ts";
import type { Route } from "./routes.ts";

const folder = dirname(createRequire(import.meta.url).resolve("swagger-ui-dist/package.json"));
const page = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sangam API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"></head><body><div id="docs"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>`;
const start = `SwaggerUIBundle({ url: "/api/v1/openapi.json", dom_id: "#docs", deepLinking: true });`;
const types: Record<string, string> = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  html: "text/html; charset=utf-8",
  json: "application/json; charset=utf-8",
};
const files = ["swagger-ui.css", "swagger-ui-bundle.js"];

const contentPolicy = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'";

/** `/docs`, a page that shows the OpenAPI document, and `/api/v1/openapi.json` itself. */
export function docsRoute(version: string, routes: readonly Route[]) {
  let document: string | undefined;
  const send = (response: ServerResponse, extension: string, body: string | Buffer) =>
    response
      .writeHead(200, {
        "content-type": types[extension],
        "content-security-policy": contentPolicy,
        "x-content-type-options": "nosniff",
      })
      .end(body);
  const show = async (name: string, response: ServerResponse) => {
    if (name === "start.js") send(response, "js", start);
    else if (files.includes(name))
      send(response, name.split(".").at(-1) as string, await readFile(join(folder, name)));
    else throw appError(404, "ROUTE_NOT_FOUND", "There is no such route.");
  };
  return {
    path: "/",
    name: "docs",
    mappingPolicy: "restrict",
    bodyParsers: false,
    mergeParams: false,
    aliases: {
      // until there is a console
      "GET /": pointToDocs,
      "GET /api/v1": pointToDocs,
      "GET /api/latest": pointToDocs,
      "GET /docs": (_request: DocsRequest, response: ServerResponse) => send(response, "html", page),
      "GET /docs/:file": (request: DocsRequest, response: ServerResponse, next: (error: Error) => void) =>
        void show(request.$params.params.file ?? "", response).catch(next),
      "GET /api/v1/openapi.json": (_request: DocsRequest, response: ServerResponse) =>
        send(response, "json", (document ??= JSON.stringify(openApiDocument(version, routes)))),
    },
  };
}
const pointToDocs = (_request: IncomingMessage, response: ServerResponse) =>
  void response.writeHead(302, { location: "/docs" }).end();

type DocsRequest = IncomingMessage & { $params: { params: Record<string, string> } };
