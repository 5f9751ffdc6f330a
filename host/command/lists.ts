// Files with lists that rules name. A rules file may come from somebody else than the machine that compiles it, so it
// reads what is in its own folder and below, and nothing else: no absolute path, no way up, no link that leads out.
import { lstatSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative } from 'node:path';
import type { Source } from '../error.ts';
import { formatCount } from '../error.ts';
import type { ListFile } from '../compiler/list-file.ts';

// 10,000 values of 100 bytes.
const SIZE_MAX = 1024 * 1024;

/** A reader that reads each file once. */
export function listReader(): (rules: Source, path: string) => ListFile {
  const known = new Map<string, ListFile>();
  return (rules, path) => {
    const key = JSON.stringify([dirname(rules.path), path]);
    const file = known.get(key) ?? readListFile(dirname(rules.path), path);
    known.set(key, file);
    return file;
  };
}

function readListFile(folder: string, path: string): ListFile {
  if (path.includes('\0') || isAbsolute(path) || path.split(/[/\\]/).includes('..')) return OUTSIDE;
  const file = join(folder, path);
  try {
    const way = relative(realpathSync(folder), realpathSync(file));
    if (way === '' || isAbsolute(way) || way.split(/[/\\]/)[0] === '..') return OUTSIDE;
    const { size } = statSync(file);
    if (!statSync(file).isFile())
      return { problem: 'is not a file', hint: 'name a file with one value a line' };
    if (size > SIZE_MAX) return tooLarge(size);
    return { text: new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file)) };
  } catch (error) {
    return unreadable(file, error as NodeJS.ErrnoException);
  }
}

const OUTSIDE: ListFile = {
  problem: 'is not inside the folder of the rules file',
  hint: 'a list is beside its rules file, or below it: write a path such as lists/hosts.txt',
};

function tooLarge(size: number): ListFile {
  const problem = `has ${formatCount(size)} bytes, ${formatCount(SIZE_MAX)} allowed`;
  return { problem, hint: 'make several lists' };
}

function unreadable(file: string, { code, message }: NodeJS.ErrnoException): ListFile {
  if (code === 'ERR_ENCODING_INVALID_ENCODED_DATA')
    return { problem: 'is not text in UTF-8', hint: 'save it as UTF-8, one value a line' };
  if (code !== 'ENOENT' && code !== 'ENOTDIR') return { problem: `cannot be read: ${code ?? message}`, hint: 'check its permissions' }; // prettier-ignore
  const isLink = lstatSync(file, { throwIfNoEntry: false })?.isSymbolicLink() ?? false;
  const problem = isLink ? 'is a link to a file that is not there' : 'is not there';
  return { problem, hint: 'the path starts at the folder of the rules file' };
}
