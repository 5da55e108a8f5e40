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
      name: "entities-are-declarations",
      comment:
        "Entities are declared in the language of mixins/records, and know nothing of what works with them.",
      severity: "error",
      from: { path: "^entities/" },
      to: {
        path: "^(services|mixins)/",
        pathNot: "^mixins/(records/kind/[a-z-]+|records/conditions/schema|contract/schemas)\\.ts$",
      },
    },
    {
      name: "kinds-are-handed-in",
      comment: "What works with every kind knows none: mixins import no entity but those of machinery.",
      severity: "error",
      from: { path: "^mixins/records/" },
      to: { path: "^(services|entities)/" },
    },
  ],
  options: {
    tsConfig: { fileName: "tsconfig.json" },
    tsPreCompilationDeps: true,
    doNotFollow: { path: "node_modules" },
    enhancedResolveOptions: { extensions: [".ts", ".js", ".mjs"] },
  },
};
