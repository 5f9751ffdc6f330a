// A file that the user named.
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UserError, nearest } from '../error.ts';

export async function readInput(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code !== 'ENOENT') throw new UserError(`${path} cannot be read: ${message}`, 2);
    const near = nearest(basename(path), await readdir(dirname(path)).catch(() => []));
    const hint = near === undefined ? '' : `; did you mean "${join(dirname(path), near)}"?`;
    throw new UserError(`${path} cannot be read: there is no such file${hint}`, 2);
  }
}
