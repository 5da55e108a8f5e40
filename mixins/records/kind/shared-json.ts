const mostShared = 2_000;
const longestShared = 2_000;
const shared = new Map<string, unknown>();

/**
 * What JSON of a listed record says. Many records have the same, such as the reasons of their score, and parsing each one's was a
 * tenth of a list's time: the same text is one value, which nobody can change.
 */
export function sharedValue(text: string): unknown {
  const known = shared.get(text);
  if (known !== undefined) return known;
  const value: unknown = JSON.parse(text, (_key, inner: unknown) => Object.freeze(inner));
  if (shared.size >= mostShared) shared.clear();
  if (text.length <= longestShared) shared.set(text, value);
  return value;
}
