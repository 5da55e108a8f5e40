/** Asks until `ask` answers something true, or fails after `timeoutMs` with its last answer. */
export async function eventually<T>(
  ask: () => Promise<T> | T,
  timeoutMs = 10_000,
): Promise<Exclude<NonNullable<T>, false>> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer) return answer as Exclude<NonNullable<T>, false>;
      last = answer;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline)
      throw last instanceof Error
        ? last
        : new Error(`Not so after ${timeoutMs} ms; last answer: ${JSON.stringify(last)}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}
