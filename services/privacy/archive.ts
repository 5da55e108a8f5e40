import { createHash } from "node:crypto";
import { Readable } from "node:stream";
import { ZipFile } from "yazl";

/** One file of an archive: a JSON array, made while it is read. */
export interface Section {
  name: string;
  records: AsyncIterable<readonly unknown[]>;
}
/** What an archive holds of a section. */
export interface SectionDigest {
  name: string;
  records: number;
  bytes: number;
  sha256: string;
}

/**
 * A ZIP of these sections and, last, a manifest.json with their counts and SHA-256. Made as it is read, so that it
 * takes no more memory than the batch in hand.
 * @param about goes into the manifest
 * @returns the stream, which fails when a section does, and the digests, filled while it is read
 */
export function zipSections(
  sections: readonly Section[],
  about: Record<string, unknown>,
): { stream: Readable; digests: SectionDigest[] } {
  const zip = new ZipFile();
  const stream = zip.outputStream as Readable;
  const digests: SectionDigest[] = [];
  const add = (name: string, content: () => AsyncIterable<string>) =>
    zip.addReadStreamLazy(name, (take) => {
      const file = Readable.from(content(), { objectMode: false });
      // pipes do not carry errors on
      file.once("error", (error) => stream.destroy(error));
      take(null, file);
    });
  for (const section of sections) add(`${section.name}.json`, () => jsonArray(section, digests));
  add("manifest.json", async function* () {
    yield await Promise.resolve(JSON.stringify({ ...about, files: digests }, null, 2));
  });
  zip.end();
  return { stream, digests };
}

async function* jsonArray({ name, records }: Section, digests: SectionDigest[]): AsyncGenerator<string> {
  const hash = createHash("sha256");
  const digest = { name: `${name}.json`, records: 0, bytes: 0, sha256: "" };
  const counted = (text: string) => {
    hash.update(text);
    digest.bytes += Buffer.byteLength(text);
    return text;
  };
  yield counted("[");
  for await (const batch of records) {
    const lines = batch.map((record, index) => {
      const isFirst = digest.records + index === 0;
      return `${isFirst ? "" : ","}\n${JSON.stringify(record)}`;
    });
    digest.records += batch.length;
    if (lines.length > 0) yield counted(lines.join(""));
  }
  yield counted("\n]\n");
  digests.push({ ...digest, sha256: hash.digest("hex") });
}
