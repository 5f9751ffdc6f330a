// The fields that rules name → two tries over their paths, by which the core walks through a record: one over
// the fields that conditions test, and a late one, which is walked when a record has matched. Fields that are in a text
// have a trie for each text that is parsed.
import { UserError } from '../error.ts';
import type { Compiled } from './compiled.ts';
import type { FieldPath } from './model.ts';
import { derivedFrom, isEveryItem } from './path.ts';
import type { Table } from './table.ts';
import { indexOfEqual } from './table.ts';

/** A place in a record. */
export interface TrieNode {
  field: number | null;
  keys: Map<string, TrieNode>;
  items: Map<number, TrieNode>;
  /** The place of every item of an array. */
  every: TrieNode | null;
  /** Fields at and under this place. */
  fieldCount: number;
}

/** Edges are counted in 16 bits, 0 for none. */
const EDGE_COUNT_MAX = 0xffff;

/** The index of a field. What it is derived from is a field, too. */
export function fieldOf(fields: Table<FieldPath>, path: FieldPath): number {
  const source = derivedFrom(path)?.source ?? [];
  if (source.length > 0) fieldOf(fields, source);
  return indexOfEqual(fields, path);
}

/** The text of a field, by index, and the places in it. */
export interface TextTrie {
  source: number;
  format: 'json' | 'logfmt';
  root: TrieNode;
  /** The fields in it. */
  fields: number[];
}

export interface Tries {
  early: TrieNode;
  late: TrieNode;
  texts: TextTrie[];
}

export function triesOf({ atoms, fields }: Pick<Compiled, 'atoms' | 'fields'>): Tries {
  const indexes = indexesOf(fields);
  const tested = testedFields(atoms, fields, indexes);
  const tries: Tries = { early: newNode(), late: newNode(), texts: [] };
  const texts = new Map<string, TextTrie>();
  fields.forEach((path, field) => {
    const derived = derivedFrom(path);
    // A field is in only one of the two: in both, its gate would be opened twice.
    if (derived === null) addPath(tested.has(field) ? tries.early : tries.late, path, field);
    else if ('parse' in derived.step) {
      const key = JSON.stringify([derived.source, derived.step]);
      const source = indexes.get(JSON.stringify(derived.source))!;
      const text = texts.get(key) ?? { source, format: derived.step.parse, root: newNode(), fields: [] };
      texts.set(key, text);
      addPath(text.root, derived.rest, field);
      text.fields.push(field);
    }
  });
  tries.texts.push(...texts.values());
  const nodes = [tries.early, tries.late, ...tries.texts.map(({ root }) => root)].flatMap(root => [
    ...nodesOf(root),
  ]);
  const edgeCount = nodes.reduce((sum, node) => sum + node.keys.size, 0);
  if (edgeCount <= EDGE_COUNT_MAX) return tries;
  throw new UserError(
    `the rules file has ${edgeCount} keys in the paths of its fields, ${EDGE_COUNT_MAX} are allowed; split it into several`,
  );
}

/** The index of each path, by its JSON. */
export function indexesOf(fields: FieldPath[]): Map<string, number> {
  return new Map(fields.map((path, field) => [JSON.stringify(path), field]));
}

/** The fields of atoms, and those that they are derived from. */
function testedFields(
  atoms: Compiled['atoms'],
  fields: FieldPath[],
  indexes: Map<string, number>,
): Set<number> {
  const tested = new Set<number>();
  for (const { field } of atoms) {
    for (let path = fields[field]; path !== undefined; path = derivedFrom(path)?.source) {
      const index = indexes.get(JSON.stringify(path));
      if (index !== undefined) tested.add(index);
    }
  }
  return tested;
}

function newNode(): TrieNode {
  return { field: null, keys: new Map(), items: new Map(), every: null, fieldCount: 0 };
}

function addPath(root: TrieNode, path: FieldPath, field: number): void {
  let node = root;
  node.fieldCount++;
  for (const step of path) {
    node = isEveryItem(step) ? (node.every ??= newNode()) : childOf(node, step as string | number);
    node.fieldCount++;
  }
  node.field = field;
}

function childOf(node: TrieNode, step: string | number): TrieNode {
  const children: Map<string | number, TrieNode> = typeof step === 'number' ? node.items : node.keys;
  const child = children.get(step) ?? newNode();
  children.set(step, child);
  return child;
}

/** A node and all below it, the node first. A path has few steps, so the recursion is not deep. */
export function* nodesOf(node: TrieNode): Iterable<TrieNode> {
  yield node;
  for (const child of node.keys.values()) yield* nodesOf(child);
  for (const child of node.items.values()) yield* nodesOf(child);
  if (node.every !== null) yield* nodesOf(node.every);
}
