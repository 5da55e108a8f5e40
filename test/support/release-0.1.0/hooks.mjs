import { readFileSync } from "node:fs";
import { registerHooks } from "node:module";
import { fileURLToPath } from "node:url";

// Lets the code of 0.1.0 run with today's packages: what has left them since is stood in for. Migrations run for real;
// of anything else only the names are there, and a test that calls it fails.
const migrator = import.meta.resolve("./migrator.mjs");

registerHooks({
  resolve(specifier, context, nextResolve) {
    try {
      return nextResolve(specifier, context);
    } catch (error) {
      if (error.code !== "ERR_MODULE_NOT_FOUND" || /^[./]/.test(specifier)) throw error;
      if (specifier === "@mikro-orm/migrations") return { url: migrator, shortCircuit: true };
      const importer = readFileSync(fileURLToPath(context.parentURL), "utf8");
      return {
        url: `data:text/javascript,${encodeURIComponent(namesOf(specifier, importer))}`,
        shortCircuit: true,
      };
    }
  },
});

/** A module with the names that a file imports of `specifier`. */
function namesOf(specifier, importer) {
  const names = [...importer.matchAll(/import\s+(?!type)([^"';]*?)\s+from\s+"([^"]+)"/g)]
    .filter(([, , from]) => from === specifier)
    .flatMap(([, list]) => [...list.matchAll(/(?:^|[{,]\s*)(type\s+)?([\w$]+)/g)])
    .filter(([, type]) => type === undefined)
    .map(([, , name]) => name);
  return ["export default class {}", ...names.map((name) => `export class ${name} {}`)].join(";\n");
}
