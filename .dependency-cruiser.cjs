module.exports = {
  forbidden: [
    { name: "no-cycles", severity: "error", from: {}, to: { circular: true } },
    {
      name: "mixins-know-no-services",
      comment: "What a service is built from knows no service.",
      severity: "error",
      from: { path: "^mixins/" },
      to: { path: "^services/" },
    },
    {
      name: "services-meet-by-contract",
      comment: "A service imports of another only its contract.",
      severity: "error",
      from: { path: "^services/([^/]+)/" },
      to: { path: "^services/[^/]+/", pathNot: ["^services/$1/", "\\.contract\\.ts$"] },
    },
    {
      name: "entities-stand-alone",
      severity: "error",
      from: { path: "^entities/" },
      to: { path: "^(services|mixins)/" },
    },
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { extensions: [".ts", ".js", ".mjs"] },
  },
};
