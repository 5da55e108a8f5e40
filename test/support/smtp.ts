import type { AddressInfo } from "node:net";
import { SMTPServer } from "smtp-server";

/** A real SMTP server that keeps what it is sent. */
export class MailServer {
  /** Messages by recipient, oldest first. */
  readonly received: { to: string; text: string }[] = [];
  /** Answers every recipient with this status, if set. */
  refuses: number | undefined;
  /** Recipients it was asked to take mail for. */
  asked = 0;
  readonly #server: SMTPServer;

  private constructor() {
    this.#server = new SMTPServer({
      authOptional: true,
      disabledCommands: ["STARTTLS"],
      onRcptTo: (_address, _session, done) => {
        this.asked++;
        if (this.refuses === undefined) done();
        else done(Object.assign(new Error("no"), { responseCode: this.refuses }));
      },
      onData: (stream, session, done) => {
        const parts: Buffer[] = [];
        stream.on("data", (part: Buffer) => parts.push(part));
        stream.on("end", () => {
          const text = decoded(Buffer.concat(parts).toString());
          for (const { address } of session.envelope.rcptTo) this.received.push({ to: address, text });
          done();
        });
      },
    });
    this.#server.on("error", () => undefined);
  }

  static async listen(): Promise<MailServer> {
    const server = new MailServer();
    await new Promise<void>((done) => server.#server.listen(0, "127.0.0.1", done));
    return server;
  }

  get url(): string {
    return `smtp://127.0.0.1:${(this.#server.server.address() as AddressInfo).port}`;
  }

  /** Mails to this address with this in their text, oldest first. */
  mailsTo(address: string, holding = ""): string[] {
    return this.received.flatMap(({ to, text }) => (to === address && text.includes(holding) ? text : []));
  }

  /** Tokens of the links to this page in mails to this address, oldest first. */
  tokensFor(address: string, page: "reset-password" | "accept-invite" | "verify-email"): string[] {
    return this.mailsTo(address).flatMap((text) => {
      const links = text.matchAll(new RegExp(`/${page}\\?token=([\\w-]+)`, "g"));
      return [...links].map(([, token = ""]) => token);
    });
  }

  close(): Promise<void> {
    return new Promise((done) => this.#server.close(() => done()));
  }
}

/** Without quoted-printable (RFC 2045, 6.7). */
const decoded = (raw: string): string =>
  raw
    .replaceAll("=\r\n", "")
    .replace(/=([0-9A-F]{2})/g, (_, hex: string) => String.fromCharCode(parseInt(hex, 16)));
