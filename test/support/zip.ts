import { crc32, deflateRawSync } from "node:zlib";

/** An entry of a made archive, and what to lie about. */
export interface ZipEntry {
  name: string;
  data?: string | Buffer;
  /** Default 8, DEFLATE. */
  method?: number;
  flags?: number;
  /** Unpacked size as the directory has it. */
  unpacked?: number;
  /** Name as the local header has it. */
  localName?: string;
  /** Local header of another entry, by index: both then share its bytes. */
  sameAs?: number;
  mode?: number;
}

/** Bytes of a ZIP archive (APPNOTE.TXT 4.3). */
export function buildZip(entries: readonly ZipEntry[], options: { count?: number } = {}): Buffer {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  const starts: number[] = [];
  let at = 0;
  for (const { name, data = "", method = 8, flags = 0x800, mode = 0o100644, ...lies } of entries) {
    const bytes = Buffer.from(data);
    const packed = method === 8 ? deflateRawSync(bytes) : bytes;
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(flags, 2);
    fields.writeUInt16LE(method, 4);
    fields.writeUInt32LE(crc32(bytes), 10);
    fields.writeUInt32LE(packed.length, 14);
    fields.writeUInt32LE(lies.unpacked ?? bytes.length, 18);
    const start = lies.sameAs === undefined ? at : (starts[lies.sameAs] as number);
    starts.push(start);
    if (lies.sameAs === undefined) {
      const localName = Buffer.from(lies.localName ?? name);
      fields.writeUInt16LE(localName.length, 22);
      const local = Buffer.concat([Buffer.from("PK\x03\x04", "latin1"), fields, localName, packed]);
      parts.push(local);
      at += local.length;
    }
    const tail = Buffer.alloc(14);
    tail.writeUInt32LE((mode << 16) >>> 0, 6);
    tail.writeUInt32LE(start, 10);
    fields.writeUInt16LE(Buffer.byteLength(name), 22);
    directory.push(Buffer.from("PK\x01\x02\x14\x03", "latin1"), fields, tail, Buffer.from(name));
  }
  const central = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06", "latin1");
  end.writeUInt16LE(options.count ?? entries.length, 8);
  end.writeUInt16LE(options.count ?? entries.length, 10);
  end.writeUInt32LE(central.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, central, end]);
}
