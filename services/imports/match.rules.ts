/** By what a row is found to be of a lead that there is; the first counts most. */
export const matchKeys = ["externalId", "email", "phone"] as const;
export type MatchKey = (typeof matchKeys)[number];
/** A phone may be a whole office's. */
export const defaultMatchBy = ["externalId", "email"] as const satisfies MatchKey[];
