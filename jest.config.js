const common = {
  extensionsToTreatAsEsm: [".ts"],
  transform: { "\\.ts$": "<rootDir>/test/support/strip-types.mjs" },
  testEnvironment: "node",
  modulePathIgnorePatterns: ["<rootDir>/.data"],
};
const withDatabase = {
  globalSetup: "<rootDir>/test/support/global-setup.ts",
  globalTeardown: "<rootDir>/test/support/global-teardown.ts",
};

export default {
  maxWorkers: 2,
  testTimeout: 60_000,
  openHandlesTimeout: 5000,
  projects: [
    { ...common, displayName: "unit", testMatch: ["<rootDir>/test/unit/**/*.test.ts"] },
    {
      ...common,
      ...withDatabase,
      displayName: "service",
      testMatch: ["<rootDir>/test/service/**/*.test.ts"],
    },
    {
      ...common,
      ...withDatabase,
      displayName: "security",
      testMatch: ["<rootDir>/test/security/**/*.test.ts"],
    },
    {
      ...common,
      ...withDatabase,
      displayName: "cluster",
      testMatch: ["<rootDir>/test/cluster/**/*.test.ts"],
    },
  ],
};
