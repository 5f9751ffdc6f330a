// Follows a file as it grows, as `tail -F` does: after a rotation it reads on in the new file, after a truncation from the
// start. It looks at the file now and then: notifications of the system do not come for every file system.
import { open, stat } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { UserError } from '../error.ts';
import type { LogFile } from '../source/file.ts';

const LOOK_MS = 250;
const CHUNK_SIZE = 1 << 16;
const NEWLINE = Uint8Array.of(0x0a);

/** `fromStart`: with what is in the file already. */
export async function followFile(path: string, fromStart: boolean, stop: AbortSignal): Promise<LogFile> {
  const first = await openOrFail(path);
  const ended = new AbortController();
  const signal = AbortSignal.any([stop, ended.signal]);
  return {
    name: path,
    timeMs: Date.now(),
    chunks: chunksOf(path, first, fromStart, signal),
    close: () => ended.abort(),
  };
}

async function openOrFail(path: string): Promise<FileHandle> {
  try {
    const file = await open(path);
    if (!(await file.stat()).isDirectory()) return file;
    await file.close();
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    throw new UserError(`${path} cannot be read: ${code === 'ENOENT' ? 'there is no such file' : message}`);
  }
  throw new UserError(`${path} cannot be read: it is a directory`);
}

async function* chunksOf(
  path: string,
  first: FileHandle,
  fromStart: boolean,
  stop: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let file = first;
  try {
    let at = fromStart ? 0 : (await file.stat()).size;
    // The last byte that was read was not a newline.
    let isWithinLine = false;
    while (!stop.aborted) {
      const { buffer, bytesRead } = await file.read(Buffer.alloc(CHUNK_SIZE), 0, CHUNK_SIZE, at);
      if (bytesRead > 0) {
        at += bytesRead;
        isWithinLine = buffer[bytesRead - 1] !== NEWLINE[0];
        yield buffer.subarray(0, bytesRead);
        continue;
      }
      const next = await replacementOf(path, file);
      const isCut = next === null && (await file.stat()).size < at;
      if (next === null && !isCut) {
        await sleep(LOOK_MS, undefined, { signal: stop }).catch(() => {});
        continue;
      }
      // What was read of a line will get no end.
      if (isWithinLine) yield NEWLINE;
      isWithinLine = false;
      at = 0;
      if (next === null) continue;
      await file.close();
      file = next;
    }
  } finally {
    await file.close();
  }
}

/** The file that has the name now, if it is another one. Between the two there may be none. */
async function replacementOf(path: string, file: FileHandle): Promise<FileHandle | null> {
  const [now, own] = [await stat(path).catch(() => null), await file.stat()];
  if (now === null || (now.ino === own.ino && now.dev === own.dev)) return null;
  return open(path).catch(() => null);
}
