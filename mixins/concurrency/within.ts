/** What the promise gives, or what `late` gives or throws when it takes longer than `ms`. The promise itself goes on. */
export async function within<T, L>(ms: number, promise: Promise<T>, late: () => L): Promise<T | L> {
  let timer: NodeJS.Timeout | undefined;
  const isLate = Symbol("late");
  try {
    const first = await Promise.race([
      promise,
      new Promise<typeof isLate>((done) => (timer = setTimeout(() => done(isLate), ms))),
    ]);
    return first === isLate ? late() : first;
  } finally {
    clearTimeout(timer);
  }
}
