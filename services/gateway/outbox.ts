import type { IncomingMessage, ServerResponse } from "node:http";
import { appError } from "../../mixins/contract/errors.ts";
import { keptMails } from "../../mixins/mail/mail.ts";
import type { Runtime } from "../../mixins/contract/service.ts";
import { isLoopbackHost } from "../../mixins/process/loopback.ts";

/**
 * `GET /dev/outbox`: mails that were kept because no SMTP server is set, newest first. They hold links that let their
 * reader in, so only a caller on this very machine may see them, and where users come in by another address than the
 * loopback's only if DEV_OUTBOX asks for it (see its default).
 */
export function outboxRoute({ env, database }: Runtime) {
  const show = async (request: IncomingMessage, response: ServerResponse) => {
    if (env.SMTP_URL !== undefined || !env.DEV_OUTBOX || !isFromHere(request))
      throw appError(404, "ROUTE_NOT_FOUND", "There is no such route.");
    response
      .writeHead(200, {
        "content-type": "application/json; charset=utf-8",
        "cache-control": "no-store",
        "x-content-type-options": "nosniff",
      })
      .end(JSON.stringify({ data: await keptMails(database) }));
  };
  return {
    path: "/dev",
    name: "outbox",
    mappingPolicy: "restrict",
    bodyParsers: false,
    mergeParams: false,
    aliases: {
      "GET /outbox": (request: IncomingMessage, response: ServerResponse, next: (error: Error) => void) =>
        void show(request, response).catch(next),
    },
  };
}

/**
 * Whether nothing says that the caller is elsewhere. A proxy on this machine speaks for somebody else: it is known by what
 * proxies add, or by HTTP/1.0, which nginx speaks unless told otherwise; one that adds nothing cannot be told from a
 * caller. A page of another site, led here by its name, speaks for its own.
 */
const isFromHere = ({ socket, headers, httpVersion }: IncomingMessage): boolean =>
  isLoopbackHost((socket.remoteAddress ?? "").replace(/^::ffff:/, ""))
  && httpVersion !== "1.0"
  && !Object.keys(headers).some((name) => /^(x-forwarded-.*|x-real-ip|x-client-ip|forwarded|via)$/.test(name))
  && isLoopbackHost((headers.host ?? "").replace(/:\d+$/, ""));
