/** A Jest reporter: how many cases ran, and how many of them failed. */
export default class Count {
  onRunComplete(_contexts, { numPassedTests, numFailedTests, numFailedTestSuites }) {
    const broken = numFailedTestSuites > 0 ? `, ${numFailedTestSuites} files with failures` : "";
    console.log(`Security: ${numPassedTests + numFailedTests} cases, ${numFailedTests} failed${broken}.`);
  }
}
