// Writing the folder that Fluent Bit reads, while one may read it: each file is replaced whole, the module before the
// configuration that names it, and nothing that somebody else wrote is touched.
import { mkdir, open, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { UserError } from '../error.ts';
import { MARK } from './setup.ts';
import type { SetupFile } from './setup.ts';

const MODULE = /^earshot-[0-9a-f]{16}\..*(?:wasm|aot)$/;

/** The files that somebody else wrote. Throws when Fluent Bit needs one of them: then nothing is to be written. */
export async function findForeign(directory: string, files: SetupFile[]): Promise<SetupFile[]> {
  const foreign: SetupFile[] = [];
  for (const file of files) if (await isForeign(join(directory, file.path), file)) foreign.push(file);
  const needed = foreign.filter(({ isNeeded }) => isNeeded).map(({ path }) => join(directory, path));
  if (needed.length > 0)
    throw new UserError(
      `${needed.join(', ')}: not made by \`earshot build --fluent-bit\`, so nothing is written; ` +
        'rename it, or name another folder',
    );
  return foreign;
}

/** Returns what the person who builds should know, a sentence each. */
export async function writeFolder(
  directory: string,
  files: SetupFile[],
  foreign: SetupFile[],
): Promise<string[]> {
  for (const file of files) {
    if (foreign.includes(file)) continue;
    const target = join(directory, file.path);
    await mkdir(dirname(target), { recursive: true });
    await replaceFile(target, file.content);
  }
  const notes = foreign.map(
    ({ path }) =>
      `${join(directory, path)} was not made by \`earshot build --fluent-bit\` and is left as it is; ` +
      'to have the generated one, rename it or name another folder',
  );
  const current = new Set(files.map(({ path }) => path));
  const others = (await readdir(directory)).filter(name => MODULE.test(name) && !current.has(name)).sort();
  if (others.length > 0)
    notes.push(
      `modules of other rules are left for a Fluent Bit that still reads them: ${others.join(', ')}; ` +
        'delete them when every Fluent Bit has reloaded',
    );
  return notes;
}

/** A reader finds the old file or the new one, never a part. A file that is the same already stays. */
export async function replaceFile(path: string, content: string | Uint8Array): Promise<void> {
  const bytes = Buffer.from(content as Uint8Array);
  const old = await readFile(path).catch(() => null);
  if (old !== null && bytes.equals(old)) return;
  const draft = `${path}.${process.pid}.draft`;
  try {
    await writeFile(draft, bytes, { flush: true });
    await rename(draft, path);
  } catch (error) {
    throw new UserError(`${path} cannot be written: ${reasonOf(error, dirname(path))}`);
  }
}

/** A system's message names the draft, which nobody knows. */
function reasonOf(error: unknown, directory: string): string {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return `there is no folder ${directory}; make it first: mkdir -p ${directory}`;
  if (code === 'ENOTDIR') return `${directory} is not a folder`;
  if (code === 'EACCES') return `no permission to write into the folder ${directory}`;
  if (code === 'EISDIR') return 'there is a folder of this name';
  return message;
}

async function isForeign(path: string, { content }: SetupFile): Promise<boolean> {
  const mark = Buffer.from(typeof content === 'string' ? MARK : '\0asm');
  let file;
  try {
    file = await open(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false;
    throw new UserError(`${path} cannot be read: ${(error as Error).message}`);
  }
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(mark.length), 0, mark.length, 0);
    return !buffer.subarray(0, bytesRead).equals(mark);
  } catch {
    return true; // a folder
  } finally {
    await file.close();
  }
}
