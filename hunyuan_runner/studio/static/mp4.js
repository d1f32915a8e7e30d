// Reads how a clip was made from its MP4. Only a few kilobytes of the file are read, however large
// it is, because a Blob reads what is sliced from it.
//
// An MP4 is a sequence of boxes: the length in bytes (32 bits), the type (four letters), the content.
// Some contents are boxes again. ffmpeg writes metadata into moov/udta/meta: `keys` lists its names,
// and the box in `ilst` whose type is the number of a name has the value.

const MANIFEST = "manifest"; // manifest.py's TAG
const MOST_BOXES = 1000; // looked at; there are about twenty on the way
const MOST_BYTES = 256 * 1024; // of the list of names, and of a manifest, which has about 3 KB

const utf8 = new TextDecoder("utf-8", { fatal: true });

/** The file holds no settings. `message` says why, for people. */
export class NoManifest extends Error {}

const notMp4 = () => new NoManifest("This is not an MP4 file.");
const damaged = () => new NoManifest("This MP4 is damaged or incomplete, so its settings cannot be read.");
const foreign = () =>
  new NoManifest("This MP4 has no settings. It was made by another program, or one removed them.");

/** The manifest in an MP4, as its JSON text. `file` is a Blob. Throws NoManifest. */
export async function readManifest(file) {
  const reader = new Reader(file);
  const whole = { start: 0, end: file.size };
  const first = file.size < 8 ? null : await reader.box(0, file.size).catch(() => null);
  if (first?.type !== "ftyp") throw notMp4();
  const moov = await reader.child(whole, "moov");
  if (!moov) throw damaged();
  const udta = await reader.child(moov, "udta");
  const meta = udta && (await reader.child(udta, "meta"));
  if (!meta) throw foreign();
  // In an MP4, unlike in QuickTime's files, four bytes come before the boxes of `meta`.
  const inside = { start: meta.start + 4, end: meta.end };
  const [keys, ilst] = [await reader.child(inside, "keys"), await reader.child(inside, "ilst")];
  const number = keys ? numberOf(MANIFEST, await reader.bytes(keys)) : 0;
  const item = number && ilst && (await reader.child(ilst, number));
  const data = item && (await reader.child(item, "data"));
  if (!data) throw foreign();
  const value = await reader.bytes({ start: data.start + 8, end: data.end }); // after type and language
  try {
    return utf8.decode(value);
  } catch {
    throw damaged();
  }
}

class Reader {
  #file;
  #boxes = 0;

  constructor(file) {
    this.#file = file;
  }

  /** The first box of this type between two places. `type` is four letters, or a number. */
  async child({ start, end }, type) {
    for (let at = start; at + 8 <= end; ) {
      const box = await this.box(at, end);
      if (box.type === type || box.number === type) return box;
      at = box.end;
    }
    return null;
  }

  /** The box at `at`: its type, also as a number, and where its content starts and ends. */
  async box(at, end) {
    if (++this.#boxes > MOST_BOXES) throw damaged();
    const head = await this.#view(at, Math.min(at + 16, end));
    let [size, header] = [head.getUint32(0), 8];
    if (size === 0) size = end - at; // up to the end of the file
    if (size === 1 && head.byteLength === 16) [size, header] = [Number(head.getBigUint64(8)), 16];
    if (size < header || size > end - at) throw damaged();
    const number = head.getUint32(4);
    const type = String.fromCharCode(...[24, 16, 8, 0].map((shift) => (number >> shift) & 255));
    return { type, number, start: at + header, end: at + size };
  }

  /** The bytes between two places, of which there may be at most MOST_BYTES. */
  async bytes({ start, end }) {
    if (end < start || end - start > MOST_BYTES) throw damaged();
    return this.#view(start, end);
  }

  async #view(start, end) {
    let bytes;
    try {
      bytes = await this.#file.slice(start, end).arrayBuffer();
    } catch {
      throw new NoManifest("This file cannot be read.");
    }
    if (bytes.byteLength !== end - start) throw damaged(); // it was cut off meanwhile
    return new DataView(bytes);
  }
}

/** The number, from 1, of a name in the content of a `keys` box; 0 if it is not there. */
function numberOf(name, keys) {
  let at = 8; // after version, flags and count
  for (let number = 1; at + 8 <= keys.byteLength; number++) {
    const size = keys.getUint32(at);
    if (size < 8 || at + size > keys.byteLength) throw damaged();
    const found = new Uint8Array(keys.buffer, at + 8, size - 8); // after size and namespace
    if (String.fromCharCode(...found.subarray(0, 64)) === name) return number;
    at += size;
  }
  return 0;
}
