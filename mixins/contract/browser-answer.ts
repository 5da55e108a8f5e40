import { z } from "zod";

/**
 * What an action with `transfer: "browser"` answers: for people who were led here by a link or a form of another site,
 * and hold nothing but a cookie.
 * @param body what is answered as JSON where nobody is led on
 */
export const browserAnswer = <B extends z.ZodType>(body: B) =>
  z.strictObject({
    /** Where the browser goes next. */
    redirectTo: z.string().optional(),
    /** Tells this browser from others; kept in a cookie for ten minutes. */
    browserKey: z.string().optional(),
    body: body.optional(),
    /** In the place of `body`. */
    xml: z.string().optional(),
  });
export type BrowserAnswer = z.output<ReturnType<typeof browserAnswer>>;

/** Parameter of actions that ask for the browser's key; filled by the gateway from the cookie. */
export const browserKey = z.string().max(100).optional();
