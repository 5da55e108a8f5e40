const common = {
  extensionsToTreatAsEsm: [".ts"],
  transform: { "\\.ts$": "<rootDir>/test/support/strip-types.mjs" },
  testEnvironment: "<rootDir>/test/support/environment.mjs",
  modulePathIgnorePatterns: ["<rootDir>/.data"],
};
const withDatabase = {
  testEnvironment: "<rootDir>/test/support/nodes-environment.mjs",
  globalSetup: "<rootDir>/test/support/global-setup.ts",
  globalTeardown: "<rootDir>/test/support/global-teardown.ts",
};

/** Shares of statements that the tests run, in percent; `npm run test:coverage` fails below. */
const coverageThreshold = {
  "./services/gateway/": { statements: 70 },
  "./services/": { statements: 90 },
  "./mixins/": { statements: 95 },
};

export default {
  // most of a test is waiting: for PostgreSQL, for processes it starts and kills, for time to pass
  maxWorkers: 4,
  reporters: [
    "default",
    "<rootDir>/test/support/slowest-files.mjs",
    "<rootDir>/test/support/unfinished-files.mjs",
  ],
  coverageProvider: "v8",
  coverageReporters: ["text-summary", "json-summary"],
  collectCoverageFrom: ["services/**/*.ts", "mixins/**/*.ts"],
  coverageThreshold,
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
