// Preloaded by every npm script: a wrong Node ends with one clear line instead of a syntax error.
const [major, minor] = process.versions.node.split(".").map(Number);
if (major !== 24 || minor < 12) {
  console.error(
    `Sangam needs Node 24.12 or newer (24.x); this is ${process.version}. `
      + "On Linux x64 `npm ci` brings it: run Sangam through npm scripts (npm start). Elsewhere install Node 24.",
  );
  process.exit(1);
}
