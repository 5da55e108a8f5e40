import { stripTypeScriptTypes } from "node:module";

/** Jest's transform: the same type stripping Node does at run time, so tests run what production runs. */
export default {
  process: (source) => ({ code: stripTypeScriptTypes(source) }),
  getCacheKey: (source) => `${process.version}:${Buffer.from(source).length}:${source}`,
};
