const secondsAllowed = 20;

/** A Jest reporter: which files took longest, and of those over 20 s that they want a reason. */
export default class SlowestFiles {
  onRunComplete(_contexts, { testResults }) {
    const files = testResults.map(({ testFilePath, perfStats: { start, end } }) => ({
      file: testFilePath.replace(/.*\/test\//, ""),
      seconds: (end - start) / 1000,
    }));
    const slowest = files.sort((a, b) => b.seconds - a.seconds).slice(0, 10);
    if (slowest.length < 10) return;
    console.log("Slowest files, in seconds:");
    for (const { file, seconds } of slowest)
      console.log(
        `${seconds.toFixed(0).padStart(5)}  ${file}${seconds > secondsAllowed ? "  (over 20)" : ""}`,
      );
  }
}
