// Lists of values: as they are in the rules file, or from a file beside it, one value a line. The file is read while the
// rules are compiled.
import { isMap } from 'yaml';
import { formatCount, quote } from '../error.ts';
import type { Node } from './document.ts';
import { fail, readList, readMap, readText } from './reading.ts';
import type { Context, Entry } from './reading.ts';
import * as schema from './schema.ts';

/** An item of a list: a node of the rules file, or a line of a list file. */
export type Item = { node: Node } | Line;

/** `place`: its file and number, for errors. */
interface Line {
  text: string;
  place: string;
}

export function isListFile(entry: Entry): boolean {
  return isMap(entry.value) && entry.value.has('file');
}

/** The items of a list; `emptyMessage` is the error for none. */
export function readItems(
  context: Context,
  entry: Entry,
  kind: 'scalars' | 'texts' | 'allTexts',
  emptyMessage: string,
): Item[] {
  if (isListFile(entry)) return readListFile(context, entry);
  return (readList(context, entry, kind, emptyMessage) ?? []).map(node => ({ node }));
}

function readListFile(context: Context, entry: Entry): Item[] {
  const map = readMap(context, entry.value!, `"${entry.name}"`, schema.LIST_KEYS);
  const node = map?.get('file')?.value;
  const path = readText(context, node, '"file"');
  if (path === undefined) return [];
  const file = context.lists.read(context.source, path);
  if ('problem' in file) {
    fail(context, node!, `${quote(path)} ${file.problem}`, file.hint);
    return [];
  }
  const items = itemsOf(file.text, path);
  if (items.length === 0) fail(context, node!, `${quote(path)} has no values`, 'write one value a line');
  context.lists.valueCount += items.length;
  if (context.lists.valueCount <= schema.LIST_VALUES_MAX) return items;
  fail(context, node!, `lists from files have more than ${formatCount(schema.LIST_VALUES_MAX)} values in all rules`, 'test what is in a list in one rule'); // prettier-ignore
  return [];
}

/** Each value once. Space around a value, blank lines and lines that begin with `#` are left out. */
function itemsOf(text: string, path: string): Item[] {
  const seen = new Set<string>();
  return text.split('\n').flatMap((line, index) => {
    const value = line.trim();
    if (value === '' || value.startsWith('#') || seen.has(value)) return [];
    seen.add(value);
    return { text: value, place: `${path}:${index + 1}` };
  });
}

/** The text of a line. What is wrong with it is said at the name of its file, with its place. */
export function readLine(context: Context, entry: Entry, item: Line, subject: string): string | undefined {
  const size = Buffer.byteLength(item.text);
  if (size <= schema.TEXT_SIZE_MAX) return item.text;
  const counts = `${formatCount(size)} bytes, ${formatCount(schema.TEXT_SIZE_MAX)} allowed`;
  return fail(context, entry.value!, `${item.place}: ${subject} has ${counts}`);
}
