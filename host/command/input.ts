// A file that the user named.
import { readdir, readFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { UserError, nearest } from '../error.ts';

export async function readInput(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw await unreadable(path, error as NodeJS.ErrnoException);
  }
}

/** The error for a path that cannot be read. */
export async function unreadable(path: string, error: NodeJS.ErrnoException): Promise<UserError> {
  const { code, message } = error;
  if (code !== 'ENOENT') return new UserError(`${path} cannot be read: ${message}`, 2);
  const names = await readdir(dirname(path)).catch(() => []);
  const near = nearest(
    basename(path),
    names.filter(name => name !== basename(path)),
  ); // its link may be there
  const hint = near === undefined ? '' : `; did you mean "${join(dirname(path), near)}"?`;
  return new UserError(`${path} cannot be read: there is no such file${hint}`, 2);
}
