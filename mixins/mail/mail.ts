import { createTransport } from "nodemailer";
import { v7 as uuidv7 } from "uuid";
import type { Database } from "../database/database.ts";
import type { UnitOfWork } from "../database/unit-of-work.ts";
import type { Env } from "../process/env.ts";
import { appError } from "../contract/errors.ts";
import { Outside } from "../outbound/outside-call.ts";
import { OutsideStatusError } from "../outbound/outside-status.ts";

/** A mail of plain text to one person. */
export interface Mail {
  /** Whose mail it is. */
  organizationId: string;
  to: string;
  subject: string;
  text: string;
  /** Files that go along; the outbox shows them in its text. */
  attachments?: readonly { name: string; type: string; content: string }[];
}

/** Sends mail. Call it from a job of the queue `email-send`, and hold no connection to a database meanwhile. */
export interface Mailer {
  /** Whether mails go anywhere. */
  isConfigured: boolean;
  /**
   * At least once: repeated by its job, a mail may arrive twice.
   * @throws 503 OUTSIDE_UNAVAILABLE, 504 OUTSIDE_TIMEOUT, 503 MAIL_NOT_CONFIGURED, OutsideStatusError 422 when the
   *   server refuses this mail for good
   */
  send(mail: Mail): Promise<void>;
}

/** A mail as the outbox shows it. */
export interface KeptMail {
  to: string;
  subject: string;
  text: string;
  createdAt: string;
}

/** Mails the outbox holds; older ones go. */
const mostKept = 200;

/** The mailer that `env` configures: an SMTP server, else the outbox of developers, else none. */
export function createMailer(env: Env, database: Database): Mailer {
  if (env.SMTP_URL !== undefined) return smtpMailer(env.SMTP_URL, env.MAIL_FROM);
  if (!env.DEV_OUTBOX)
    return {
      isConfigured: false,
      send: () => Promise.reject(appError(503, "MAIL_NOT_CONFIGURED", "No mail can be sent: set SMTP_URL.")),
    };
  return {
    isConfigured: true,
    send: (mail) => database.transaction({ platform: database.control }, (tx) => keep(tx, mail)),
  };
}

function smtpMailer(url: string, from: string): Mailer {
  const smtp = new Outside("smtp", { timeoutMs: 20_000, atOnce: 5, mostWaiting: 100 });
  const transport = createTransport(
    { url, connectionTimeout: 5_000, greetingTimeout: 5_000, socketTimeout: 10_000, dnsTimeout: 5_000 },
    { from, disableFileAccess: true, disableUrlAccess: true },
  );
  return {
    isConfigured: true,
    async send({ to, subject, text, attachments = [] }) {
      await smtp.call(async () => {
        try {
          await transport.sendMail({
            to: { name: "", address: to },
            subject,
            text,
            attachments: attachments.map(({ name, type, content }) => ({
              ...{ filename: name, contentType: type, content },
            })),
          });
        } catch (error) {
          // RFC 5321, 4.2.1: a reply of 5xx is final, and the server is well
          const { responseCode = 0 } = error as { responseCode?: number };
          throw responseCode >= 500 ? new OutsideStatusError(422) : error;
        }
      });
    },
  };
}

async function keep(tx: UnitOfWork, mail: Mail): Promise<void> {
  const { organizationId, to, subject, attachments = [] } = mail;
  const text = [mail.text, ...attachments.map(({ name, content }) => `[${name}]\n${content}`)].join("\n");
  await tx.execute({
    text: `INSERT INTO control.kept_mails (organization_id, id, recipient, subject, body, created_at)
      VALUES ($1, $2, $3, $4, $5, $6)`,
    values: [organizationId, uuidv7(), to, subject, text, tx.now],
  });
  await tx.execute({
    text: `DELETE FROM control.kept_mails WHERE id <=
      (SELECT id FROM control.kept_mails ORDER BY id DESC OFFSET $1 LIMIT 1)`,
    values: [mostKept],
  });
}

/** What the outbox holds, newest first. */
export const keptMails = (database: Database): Promise<KeptMail[]> =>
  database.transaction({ platform: database.control }, (tx) =>
    tx.query<KeptMail>({
      text: `SELECT recipient AS "to", subject, body AS "text", created_at AS "createdAt"
        FROM control.kept_mails ORDER BY id DESC LIMIT $1`,
      values: [mostKept],
    }),
  );
