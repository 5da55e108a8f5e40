/** Answers whether one more message is one too many of this second. */
export function messageLimit(mostPerSecond: number): () => boolean {
  let second = 0;
  let messages = 0;
  return () => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) {
      second = now;
      messages = 0;
    }
    return ++messages > mostPerSecond;
  };
}
