/** Whether a rejection is one that Graphile Worker has left behind. */
export const isStray = (reason: unknown): reason is Error =>
  reason instanceof Error && reason.stack?.includes("/graphile-worker/") === true;

/**
 * Keeps a process alive that hosts Graphile Worker: when PostgreSQL goes away while one of its pools ends, it leaves promises
 * behind whose rejection nobody hears (0.18.0), and Node ends a process for that. Their jobs are freed with the pool's
 * lease. Every other unheard rejection ends the process as before.
 * @returns undoes it
 */
export function surviveStrayRejections(onError: (error: Error) => void): () => void {
  const listen = (reason: unknown) => {
    if (!isStray(reason)) throw reason;
    onError(reason);
  };
  process.on("unhandledRejection", listen);
  return () => void process.off("unhandledRejection", listen);
}
