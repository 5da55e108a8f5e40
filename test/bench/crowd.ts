import { once } from "node:events";
import { join } from "node:path";
import { cpuMs, start, type Child } from "./processes.ts";

/** A process full of clients, which answers each message it is sent with one. */
export class Crowd<Ask extends object, Told> {
  readonly #child: Child;
  readonly #ended: Promise<never>;

  /** @param file of this folder; it answers by `answerAsks` */
  constructor(folder: string, name: string, file: string) {
    this.#child = start(name, process.execPath, [join(import.meta.dirname, file)], { folder, ipc: true });
    this.#ended = once(this.#child.process, "exit").then(() => {
      throw new Error(`${name} ended; see its log`);
    });
    this.#ended.catch(() => undefined);
  }

  /** One at a time. @throws Error when the process ends meanwhile */
  async ask(ask: Ask): Promise<Told> {
    const answered = once(this.#child.process, "message");
    this.#child.process.send(ask);
    const [told] = (await Promise.race([answered, this.#ended])) as [Told];
    return told;
  }

  stop = () => this.#child.stop();
  cpuMs = () => cpuMs(this.#child);
}

/** Makes this process the other end of a `Crowd`. */
export function answerAsks<Ask, Told>(act: (ask: Ask) => Promise<Told> | Told): void {
  process.on("message", (ask: Ask) => {
    (async () => act(ask))().then(
      (told) => process.send?.(told),
      (error: Error) => {
        console.error(error);
        process.exit(1);
      },
    );
  });
}

/** Milliseconds by a clock that all processes of a machine share. */
export const machineMs = (): number => Number(process.hrtime.bigint()) / 1e6;
