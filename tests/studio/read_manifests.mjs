// Reads the manifests of MP4s with the page's own reader, and prints the outcomes as JSON.
//
//   node read_manifests.mjs READER read FILE...    what each file holds, and how much of it was read
//   node read_manifests.mjs READER damage FILE     the outcomes for a file cut or changed anywhere

import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [reader, mode, ...files] = process.argv.slice(2);
const { NoManifest, readManifest } = await import(pathToFileURL(reader));

/** A file with a stretch of zeros, which takes no memory. Counts the bytes that are read of it. */
class SparseFile {
  read = 0;

  constructor(before, zeros, after) {
    this.parts = [before, zeros, after];
    this.size = before.length + zeros + after.length;
  }

  slice(start, end) {
    const [before, zeros, after] = this.parts;
    const count = Math.max(Math.min(end, this.size) - start, 0);
    const bytes = new Uint8Array(count);
    for (let i = 0; i < count; i++) {
      const at = start + i;
      if (at < before.length) bytes[i] = before[at];
      else if (at >= before.length + zeros) bytes[i] = after[at - before.length - zeros];
    }
    this.read += count;
    return new Blob([bytes]);
  }
}

async function outcome(file) {
  try {
    return { manifest: await readManifest(file) };
  } catch (error) {
    if (!(error instanceof NoManifest)) throw error;
    return { refusal: error.message };
  }
}

if (mode === "read") {
  const found = [];
  for (const name of files) {
    const [path, zeros = 0, at = 0] = name.split("+"); // PATH, or PATH+ZEROS+WHERE they stand
    const bytes = readFileSync(path);
    const file = new SparseFile(bytes.subarray(0, at), Number(zeros), bytes.subarray(at));
    found.push({ ...(await outcome(file)), read: file.read });
  }
  console.log(JSON.stringify(found));
} else {
  const bytes = readFileSync(files[0]);
  const head = bytes.indexOf("mdat"); // all but the pictures
  const refusals = new Set();
  for (let at = 0; at < head; at++) {
    const outcomes = [await outcome(new Blob([bytes.subarray(0, at)]))];
    for (const value of [0, 127, 255]) {
      const changed = Uint8Array.from(bytes);
      changed[at] = value;
      outcomes.push(await outcome(new Blob([changed])));
    }
    for (const { refusal } of outcomes) if (refusal) refusals.add(refusal);
  }
  console.log(JSON.stringify([...refusals].sort()));
}
