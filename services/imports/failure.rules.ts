import { errorType } from "../../mixins/contract/errors.ts";

/** Another node has taken the import over, or somebody ended it: whoever hears this stops without a word. */
export const isFenced = (error: unknown): boolean => errorType(error) === "IMPORT_FENCED";

/** The records that the rows of a batch change are too large together; halves of it may not. */
export const isTooLarge = (error: unknown): boolean => errorType(error) === "IMPORT_BATCH_TOO_LARGE";
