// The compiled core without rules. This reads what asc wrote; in the bundle host/build.ts puts the bytes here.
import { readFile } from 'node:fs/promises';

export async function readCore(): Promise<Uint8Array> {
  return readFile(new URL('../build/core.wasm', import.meta.url));
}
