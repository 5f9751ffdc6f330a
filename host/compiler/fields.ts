// The fields that rules name → two tries over their paths, by which the core walks through a record: one over
// the fields that conditions test, and a late one, which is walked when a record has matched.
import { UserError } from '../error.ts';
import type { Compiled } from './compiled.ts';
import type { FieldPath } from './model.ts';

/** A place in a record. */
export interface TrieNode {
  field: number | null;
  keys: Map<string, TrieNode>;
  items: Map<number, TrieNode>;
  /** Fields at and under this place. */
  fieldCount: number;
}

/** Edges are counted in 16 bits, 0 for none. */
const EDGE_COUNT_MAX = 0xffff;

export function triesOf({ atoms, fields }: Pick<Compiled, 'atoms' | 'fields'>): {
  early: TrieNode;
  late: TrieNode;
} {
  const tested = new Set(atoms.map(atom => atom.field));
  // A field is in only one of the two: in both, its gate would be opened twice.
  const tries = {
    early: trieOf(fields, field => tested.has(field)),
    late: trieOf(fields, field => !tested.has(field)),
  };
  const edgeCount = [...nodesOf(tries.early), ...nodesOf(tries.late)].reduce(
    (sum, node) => sum + node.keys.size,
    0,
  );
  if (edgeCount <= EDGE_COUNT_MAX) return tries;
  throw new UserError(
    `the rules file has ${edgeCount} keys in the paths of its fields, ${EDGE_COUNT_MAX} are allowed; split it into several`,
  );
}

function newNode(): TrieNode {
  return { field: null, keys: new Map(), items: new Map(), fieldCount: 0 };
}

function trieOf(paths: FieldPath[], isWanted: (field: number) => boolean): TrieNode {
  const root = newNode();
  paths.forEach((path, field) => {
    if (!isWanted(field)) return;
    let node = root;
    node.fieldCount++;
    for (const step of path) {
      node = childOf(node, step);
      node.fieldCount++;
    }
    node.field = field;
  });
  return root;
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
}
