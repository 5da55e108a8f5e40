/** `changes` over `stored`, key by key; null removes a key. */
export function mergeKeys(
  stored: Record<string, unknown>,
  changes: Record<string, unknown>,
): Record<string, unknown> {
  const merged = { ...stored, ...changes };
  for (const [key, value] of Object.entries(changes)) if (value === null) delete merged[key];
  return merged;
}

/** Each tag once, in the order given. */
export const distinctTags = (tags: string[]): string[] => [...new Set(tags)];
