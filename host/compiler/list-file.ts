// Access to the files that rules name: handed in, so that the compiler itself reads none.
import type { Source } from '../error.ts';

/** Reads the file at `path`, as it is written in the rules file, or says why not: what follows the path in an error. */
export type ReadListFile = (rules: Source, path: string) => ListFile;
export type ListFile = { text: string } | { problem: string; hint: string };

/** What the contexts of all files share. */
export interface Lists {
  read: ReadListFile;
  /** Values that came from files so far. A file that many rules name counts for each of them. */
  valueCount: number;
}

export function makeLists(read: ReadListFile = unreadable): Lists {
  return { read, valueCount: 0 };
}

function unreadable(): ListFile {
  return { problem: 'cannot be read here: there are no files', hint: 'write the values out, as a list' };
}
