// `rules/*.yaml`: Node 20 has no glob of its own. `*` and `?` stand for parts of one name, folders included.
import { readdirSync } from 'node:fs';
import { join, sep } from 'node:path';

export function globSync(pattern: string): string[] {
  const isAbsolute = pattern.startsWith(sep);
  let found = [isAbsolute ? sep : '.'];
  for (const part of pattern.split(sep).filter(Boolean))
    found = /[*?]/.test(part)
      ? found.flatMap(folder => namesIn(folder, part).map(name => join(folder, name)))
      : found.map(folder => join(folder, part));
  return found;
}

function namesIn(folder: string, part: string): string[] {
  const escaped = part.replace(/[\\^$.+()[\]{}|]/g, '\\$&').replaceAll('*', '.*').replaceAll('?', '.'); // prettier-ignore
  const pattern = new RegExp(`^${escaped}$`, 'su');
  try {
    return readdirSync(folder)
      .filter(name => pattern.test(name) && (part.startsWith('.') || !name.startsWith('.')))
      .sort();
  } catch {
    return [];
  }
}
