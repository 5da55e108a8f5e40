import type { ServiceBroker } from "moleculer";

/**
 * A command as Moleculer's REPL takes it: prints what `run` answers to the words that follow its name, or the
 * message of what it throws.
 */
export const replCommand = (
  name: string,
  description: string,
  run: (broker: ServiceBroker, words: readonly string[]) => Promise<string>,
) => ({
  command: `${name} [words...]`,
  description,
  allowUnknownOptions: true,
  /** @param params its types say a list of words; what comes is an object with the whole line */
  async action(broker: ServiceBroker, params: unknown): Promise<void> {
    const words = (params as { rawCommand: string }).rawCommand.trim().split(/\s+/).slice(1);
    console.log(await run(broker, words).catch((error: Error) => error.message));
  },
});
