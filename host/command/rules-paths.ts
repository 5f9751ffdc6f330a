// The rules files that the user named: files, and folders with all that is below them.
import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError, formatCount } from '../error.ts';
import { readInput, unreadable } from './input.ts';

// A folder of more is not one of rules: somebody named the wrong one.
const FILES_MAX = 10_000;

/** The files at these paths, as `inOrder` has them. Throws when one of the paths is not there. */
export async function expandPaths(paths: string[]): Promise<string[]> {
  const files: string[] = [];
  for (const path of paths) files.push(...(await filesAt(path)));
  return inOrder(files);
}

/** Files in the order of their paths, each once, whatever the order in which they were named, and how often. */
export async function inOrder(files: string[]): Promise<string[]> {
  const found = new Map<string, string>(); // by what they are, links resolved
  for (const file of files) {
    const real = await realpath(file).catch(() => file); // what cannot be read is told when it is read
    const known = found.get(real);
    if (known === undefined || file < known) found.set(real, file);
  }
  return [...found.values()].sort();
}

/** Whether a YAML file is one of tests: it has other keys than a rules file. */
export function looksLikeTests(source: string): boolean {
  return /^(?:rule_files|tests)\s*:/m.test(source) && !/^groups\s*:/m.test(source);
}

/** The file itself, or all rules files of a folder: files of tests may be beside them. */
export async function filesAt(path: string, which: 'rules' | 'all' = 'rules'): Promise<string[]> {
  let isFolder: boolean;
  try {
    isFolder = (await stat(path)).isDirectory();
  } catch (error) {
    throw await unreadable(path, error as NodeJS.ErrnoException);
  }
  if (!isFolder) return [path];
  const files: string[] = [];
  await walk(path, new Set(), files);
  if (which === 'rules') await leaveOutTests(files);
  if (files.length > 0) return files;
  throw new UserError(`${path} has no rules files: none below it ends in .yaml or .yml`, 2);
}

async function leaveOutTests(files: string[]): Promise<void> {
  const found = [...files];
  files.length = 0;
  for (const file of found) {
    const text = await readInput(file).catch(() => null); // what cannot be read is told when it is read again
    if (text === null || !looksLikeTests(String(text))) files.push(file);
  }
}

/** Names that begin with a dot are left out: Kubernetes keeps the versions of a ConfigMap under such names, and links to them. */
async function walk(folder: string, above: Set<string>, files: string[]): Promise<void> {
  const real = await realpath(folder);
  if (above.has(real)) return; // a link to a folder that it is in
  const inside = new Set(above).add(real);
  for (const name of (await entriesOf(folder)).sort()) {
    if (name.startsWith('.') || name === 'node_modules') continue;
    const path = join(folder, name);
    const found = await stat(path).catch(() => null);
    if (found?.isDirectory()) await walk(path, inside, files);
    // A link that leads nowhere is told when it is read.
    else if (/\.ya?ml$/.test(name) && (found === null || found.isFile())) files.push(path);
    if (files.length > FILES_MAX)
      throw new UserError(`${folder} has more than ${formatCount(FILES_MAX)} rules files; name the folder of the rules`, 2); // prettier-ignore
  }
}

async function entriesOf(folder: string): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    throw new UserError(`${folder} cannot be read: ${(error as Error).message}`, 2);
  }
}
