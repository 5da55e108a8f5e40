import { resolve } from "node:path";
import config from "../../jest.config.js";

const rootDir = resolve(import.meta.dirname, "../..");

/** Files of the other folders that are about security, by the beginning of their names. */
const themes = [
  ...[
    "access-token",
    "api-keys",
    "audit",
    "bad-requests",
    "browser",
    "identity",
    "invitations",
    "mailed-links",
  ],
  ...["verified-emails", "domains"],
  ...["organization-cipher", "organization-keys", "outbound", "received-ids", "routes", "row-level-security"],
  ...["access-nodes", "credentials", "custom-roles", "mass-assignment", "visibility"],
  ...[
    "key-rotation",
    "oauth",
    "organization-life",
    "privacy",
    "quotas",
    "saml",
    "sensitive-fields",
    "shards",
  ],
  ...[
    "limits",
    "repetitions",
    "second-factor",
    "sign-in-throttle",
    "signed-request",
    "upload-guard",
    "imports-upload",
  ],
];

/** `npm run test:security`: everything about who may see, do and send what, and how many cases that is. */
export default {
  ...config,
  rootDir,
  reporters: ["default", "<rootDir>/test/security/count.mjs", "<rootDir>/test/support/unfinished-files.mjs"],
  projects: config.projects
    .filter(({ displayName }) => displayName !== "cluster")
    .map((project) => ({
      ...project,
      rootDir,
      testMatch:
        project.displayName === "security"
          ? project.testMatch
          : themes.map((theme) => `<rootDir>/test/${project.displayName}/${theme}*.test.ts`),
    })),
};
