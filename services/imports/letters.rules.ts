/** A heading reduced to a-z and 0-9; empty where a letter or digit is of another script, which it would be known without. */
export const letters = (heading: string): string =>
  /[^\p{Script=Latin}\p{Script=Common}\p{Script=Inherited}]/u.test(heading)
    ? ""
    : heading.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
