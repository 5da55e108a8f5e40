import { envExample } from "./env.ts";

// `npm run env:example` writes this to .env.example; a test compares the two.
process.stdout.write(envExample());
