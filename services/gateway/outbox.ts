import type { IncomingMessage, ServerResponse } from "node:http";
import { appError } from "../../mixins/contract/errors.ts";
import { keptMails } from "../../mixins/mail/mail.ts";
import type { Runtime } from "../../mixins/contract/service.ts";

/**
 * `GET /dev/outbox`: mails that were kept because no SMTP server is set, newest first. They hold links that let their
 * reader in, so only a caller on this very machine may see them.
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

const ownAddresses = ["127.0.0.1", "::1", "::ffff:127.0.0.1"];
/** A proxy on this machine speaks for somebody else; a page of another site, led here by its name, for its own. */
const isFromHere = ({ socket, headers }: IncomingMessage): boolean =>
  ownAddresses.includes(socket.remoteAddress ?? "")
  && headers["x-forwarded-for"] === undefined
  && headers.forwarded === undefined
  && /^(localhost|127\.0\.0\.1|\[::1\])(:\d+)?$/.test(headers.host ?? "");
