/**
 * Names of the kinds whose records a reference to a record of any kind may name: those that have no such reference themselves, so that
 * whose a record is never depends on a chain of them. It grows as kinds are declared, see kinds.ts.
 */
export const namedKinds: string[] = [];
