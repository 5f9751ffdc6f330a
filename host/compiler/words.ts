// Texts of which one must be in a field's text, with or without regard to letter case → an automaton that reads the text
// once, however many there are (Aho and Corasick, "Efficient String Matching", 1975). It reads bytes, but texts are
// compared by character: a letter with several forms leads to one state, whichever form is read.
import { WORDS_MATCHED, WORDS_ROOT, WORDS_STATE_COUNT_MAX } from '../../assembly/layout.ts';
import { UserError } from '../error.ts';
import { foldedForms } from './pattern.ts';

/** Where in the field's text one of the texts must be. */
export type WordsPlace = 'anywhere' | 'start' | 'end' | 'whole';

export interface WordList {
  texts: string[];
  ignoreCase: boolean;
  place: WordsPlace;
}

/** The automaton, as assembly/layout.ts describes it. */
export interface Words extends WordList {
  classes: Uint8Array;
  rootCount: number;
  /** Bytes that the longest text can take. */
  sizeMax: number;
  nodes: Uint32Array;
  stateCount: number;
}

const ROOT = 0;

export function wordsOf(list: WordList): Words {
  const trie = new Trie(list);
  for (const text of list.texts) trie.add(text);
  if (list.place === 'anywhere' || list.place === 'end') trie.addFails();
  return { ...list, ...trie.encode(), sizeMax: trie.sizeMax };
}

/** Bytes of an automaton in the ruleset, without its classes. */
export function wordsSize({ nodes }: Words): number {
  return nodes.length * 4;
}

/** Nodes are counted from 0, the root; some stand inside the bytes of a character. */
class Trie {
  sizeMax = 0;
  private readonly ignoreCase: boolean;
  /** What is found as soon as one of the texts has been read needs nothing after it. */
  private readonly endsEarly: boolean;
  private readonly edges = new Map<number, number>(); // by node × 256 + byte
  private readonly bytes: number[][] = [[]]; // of the edges of each node
  private readonly isEnd: boolean[] = [false];
  private readonly isInside: boolean[] = [false];
  private readonly fails: number[] = [ROOT];
  private readonly forms = new Map<string, Uint8Array[]>();

  constructor({ ignoreCase, place }: WordList) {
    this.ignoreCase = ignoreCase;
    this.endsEarly = place === 'anywhere' || place === 'start';
  }

  add(text: string): void {
    let node = ROOT;
    let size = 0;
    for (const character of text) {
      if (this.endsEarly && this.isEnd[node]) return;
      const forms = this.formsOf(character);
      node = this.walk(node, forms[0]!) ?? this.addCharacter(node, forms);
      size += forms.reduce((most, form) => Math.max(most, form.length), 0);
    }
    this.isEnd[node] = true;
    this.sizeMax = Math.max(this.sizeMax, size);
  }

  /** The bytes of each form of a character; of a letter of ASCII only the small one, since both have one class. */
  private formsOf(character: string): Uint8Array[] {
    const known = this.forms.get(character);
    if (known !== undefined) return known;
    const forms = this.ignoreCase ? foldedForms(character) : [character];
    const distinct = new Set(
      forms.map(form => (this.ignoreCase && form < '\x80' ? form.toLowerCase() : form)),
    );
    const made = [...distinct].map(form => Buffer.from(form));
    this.forms.set(character, made);
    return made;
  }

  private next(node: number, byte: number): number | undefined {
    return this.edges.get(node * 256 + byte);
  }

  private walk(node: number, bytes: Uint8Array): number | undefined {
    let at: number | undefined = node;
    for (const byte of bytes) if (at !== undefined) at = this.next(at, byte);
    return at;
  }

  private addCharacter(node: number, forms: Uint8Array[]): number {
    const target = this.newNode(false);
    for (const form of forms) {
      let at = node;
      form.forEach((byte, i) => {
        const isLast = i === form.length - 1;
        const next = this.next(at, byte) ?? (isLast ? target : this.newNode(true));
        if (this.next(at, byte) === undefined) {
          this.edges.set(at * 256 + byte, next);
          this.bytes[at]!.push(byte);
        }
        at = next;
      });
    }
    return target;
  }

  private newNode(isInside: boolean): number {
    this.isEnd.push(false);
    this.isInside.push(isInside);
    this.fails.push(ROOT);
    return this.bytes.push([]) - 1;
  }

  /**
   * For each node, the node of the longest text that ends where it ends and is shorter. Nodes are visited by their
   * distance from the root in characters: shorter ones have their fail.
   */
  addFails(): void {
    const visited = new Set([ROOT]);
    for (const start of visited) {
      const open = [start]; // and what stands inside the characters after it
      for (let node = open.pop(); node !== undefined; node = open.pop()) {
        for (const byte of this.bytes[node]!) {
          const child = this.next(node, byte)!;
          if (visited.has(child)) continue;
          const fail = node === ROOT ? ROOT : this.shorter(this.fails[node]!, byte);
          this.fails[child] = fail;
          if (this.isInside[child]) open.push(child);
          else {
            this.isEnd[child] ||= this.isEnd[fail]!;
            visited.add(child);
          }
        }
      }
    }
  }

  private shorter(node: number, byte: number): number {
    for (let at = node; ; at = this.fails[at]!) {
      const next = this.next(at, byte);
      if (next !== undefined) return next;
      if (at === ROOT) return ROOT;
    }
  }

  encode(): Pick<Words, 'classes' | 'rootCount' | 'nodes' | 'stateCount'> {
    const reached = this.reachedNodes();
    const rootCount = this.bytes[ROOT]!.length;
    const classes = this.classesOf(reached);
    const states = new Map<number, number>([[ROOT, WORDS_ROOT]]);
    let size = Math.max(rootCount, WORDS_MATCHED) + 1;
    for (const node of reached) {
      if (node === ROOT) continue;
      states.set(node, this.isFinal(node) ? WORDS_MATCHED : size);
      if (!this.isFinal(node)) size += 1 + this.bytes[node]!.length;
    }
    if (size > WORDS_STATE_COUNT_MAX)
      throw new UserError('a list of texts is too large; make it several rules');
    const nodes = new Uint32Array(size);
    const stateAfter = (node: number, byte: number) => states.get(this.next(node, byte)!)!;
    for (const byte of this.bytes[ROOT]!) nodes[classes[byte]!] = stateAfter(ROOT, byte);
    for (const node of reached) {
      if (node === ROOT || this.isFinal(node)) continue;
      const bytes = this.bytes[node]!;
      const at = states.get(node)!;
      nodes[at] = states.get(this.fails[node]!)! * 512 + (this.isEnd[node] ? 256 : 0) + bytes.length;
      bytes.forEach((byte, i) => (nodes[at + 1 + i] = stateAfter(node, byte) * 256 + classes[byte]!));
    }
    return { classes, rootCount, nodes, stateCount: reached.length };
  }

  /** The search is over here. */
  private isFinal(node: number): boolean {
    return this.endsEarly && this.isEnd[node]!;
  }

  /** In the order in which they were made: what is read one after the other is stored so. */
  private reachedNodes(): number[] {
    const reached = new Set([ROOT]);
    for (const node of reached) {
      if (this.isFinal(node)) continue;
      for (const byte of this.bytes[node]!) reached.add(this.next(node, byte)!);
    }
    return [...reached].sort((a, b) => a - b);
  }

  private classesOf(nodes: number[]): Uint8Array {
    const classes = new Uint8Array(256);
    let count = 0;
    for (const node of nodes) {
      if (this.isFinal(node)) continue;
      for (const byte of this.bytes[node]!) if (classes[byte] === 0) classes[byte] = ++count;
    }
    if (this.ignoreCase)
      for (let small = 0x61; small <= 0x7a; small++) classes[small - 0x20] = classes[small]!;
    return classes;
  }
}
