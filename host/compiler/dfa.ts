// A program → a deterministic automaton on bytes that answers "does any part of the text match?".
//
// The construction follows regex-automata's determinize: a state is a set of places in the program plus
// what was just read (for `^`, `\b`); assertions that look ahead are settled when the next byte is known,
// and the end of the text is one more symbol. The answer being yes or no, order does not matter, so sets
// are sorted, which makes for fewer states. The text is valid UTF-8 (the core saw to that), so a class that
// holds every code point from U+0080 up needs no exact byte ranges.
import {
  ASSERT_LINE_END,
  ASSERT_LINE_START,
  ASSERT_NOT_WORD_BOUNDARY,
  ASSERT_TEXT_END,
  ASSERT_TEXT_START,
  ASSERT_WORD_BOUNDARY,
  DFA_DEAD,
  DFA_FIRST_ROW,
  DFA_MATCHED,
  DFA_ROWS,
  RUN_ASSERT,
  RUN_CHAR,
  RUN_JUMP,
  RUN_MATCH,
  RUN_SAVE,
  RUN_SET,
  RUN_SKIP,
  RUN_SPLIT,
  RUN_SPLIT_AWAY,
} from '../../assembly/layout.ts';
import type { Program } from './nfa.ts';
import type { CodePoints } from './pattern.ts';

export interface Dfa {
  /** Byte class of each byte; classes are counted from 0. */
  classes: Uint8Array;
  /** Entries of a row: one a byte class, and the end of the text behind them. */
  stride: number;
  /** The bytes that every matching text begins with; the automaton reads what comes behind them. */
  prefix: Uint8Array;
  /** DFA_DEAD, DFA_MATCHED, then the rows: states 2 and up. */
  rows: number[][];
  start: number;
  /** Bytes a state in the ruleset: 2 is faster, 1 is half as large and holds 254 rows. */
  width: 1 | 2;
}

/** Transitions on bytes: [low, high, target], the target a place. */
type Edge = readonly [low: number, high: number, target: number];

const BEHIND_START = 1; // nothing was read yet
const BEHIND_NEWLINE = 2;
const BEHIND_WORD = 4;

const AHEAD_END = 0;
const AHEAD_NEWLINE = 1;
const AHEAD_WORD = 2;
const AHEAD_OTHER = 3;
const AHEAD_UNKNOWN = 4; // assertions that look ahead count as false

/** The automaton, or null when it would have more than `stateCountMax` states. */
export function toDfa(program: Program, stateCountMax: number): Dfa | null {
  const places = new Places(program);
  const { classes, samples } = byteClasses(places);
  const raw = determinize(places, samples, stateCountMax);
  if (raw === null) return null;
  if (raw.start < DFA_FIRST_ROW)
    return { classes, stride: 0, prefix: new Uint8Array(), rows: [], start: raw.start, width: 2 };
  const { prefix, rest } = takePrefix(raw, classes);
  return shrink(rest, classes, prefix);
}

/** True when the automaton says yes to every text. */
export function isUniversal(dfa: Dfa): boolean {
  if (dfa.start < DFA_FIRST_ROW) return dfa.start === DFA_MATCHED;
  if (dfa.prefix.length > 0) return false;
  return dfa.rows.every(row => row[dfa.stride - 1] === DFA_MATCHED && !row.includes(DFA_DEAD));
}

/** Bytes that an automaton takes in the ruleset with entries of this width. */
export function dfaSize(dfa: Dfa, width: number = dfa.width): number {
  return DFA_ROWS + dfa.rows.length * dfa.stride * width;
}

/** The program's instructions as places 0 … n-1, and behind them places inside UTF-8 sequences. */
class Places {
  readonly program: Program;
  readonly edges: Edge[][] = [];
  readonly usesAhead: boolean;
  readonly behindMask: number;
  readonly usesWord: boolean;
  readonly usesLine: boolean;
  private readonly sequences = new Map<string, number>();

  constructor(program: Program) {
    this.program = program;
    const asserts = (...kinds: number[]) =>
      program.instructions.some(({ op, operand }) => op === RUN_ASSERT && kinds.includes(operand));
    this.usesWord = asserts(ASSERT_WORD_BOUNDARY, ASSERT_NOT_WORD_BOUNDARY);
    this.usesLine = asserts(ASSERT_LINE_START, ASSERT_LINE_END);
    this.usesAhead = this.usesWord || asserts(ASSERT_LINE_END, ASSERT_TEXT_END);
    this.behindMask =
      (asserts(ASSERT_TEXT_START, ASSERT_LINE_START) ? BEHIND_START : 0) |
      (asserts(ASSERT_LINE_START) ? BEHIND_NEWLINE : 0) |
      (this.usesWord ? BEHIND_WORD : 0);
    program.instructions.forEach(() => this.edges.push([]));
    program.instructions.forEach(({ op, operand }, place) => {
      if (op === RUN_CHAR) this.edges[place] = this.setEdges([operand, operand], place + 1);
      if (op === RUN_SET) this.edges[place] = this.setEdges(program.sets[operand]!, place + 1);
      if (op === RUN_SKIP) this.edges[place] = this.setEdges(program.sets[operand]!, place);
    });
  }

  private setEdges(set: CodePoints, target: number): Edge[] {
    const edges: Edge[] = [];
    for (let i = 0; i < set.length; i += 2) {
      const [low, high] = [set[i]!, set[i + 1]!];
      if (low < 0x80) edges.push([low, Math.min(high, 0x7f), target]);
      if (high < 0x80) continue;
      const sequences =
        low <= 0x80 && high >= 0x10ffff ? ALL_MULTIBYTE : utf8Sequences(Math.max(low, 0x80), high);
      for (const sequence of sequences) {
        const [first, ...rest] = sequence;
        edges.push([first![0], first![1], this.sequence(rest, target)]);
      }
    }
    return edges;
  }

  /** The place from which `rest` leads to `target`; equal rests share their places. */
  private sequence(rest: Array<[number, number]>, target: number): number {
    if (rest.length === 0) return target;
    const [[low, high], ...more] = rest as [[number, number], ...Array<[number, number]>];
    const next = this.sequence(more, target);
    const key = `${low} ${high} ${next}`;
    const known = this.sequences.get(key);
    if (known !== undefined) return known;
    const place = this.edges.push([[low, high, next]]) - 1;
    this.sequences.set(key, place);
    return place;
  }
}

const ALL_MULTIBYTE: Array<Array<[number, number]>> = [
  [[0xc2, 0xdf], [0x80, 0xbf]],
  [[0xe0, 0xef], [0x80, 0xbf], [0x80, 0xbf]],
  [[0xf0, 0xf4], [0x80, 0xbf], [0x80, 0xbf], [0x80, 0xbf]],
]; // prettier-ignore

/**
 * The UTF-8 of a range of code points (all of it at or above U+0080) as sequences of byte ranges: split
 * where the length changes, then where a trailing byte would not run from 80 to BF (Ken Thompson's and Rob
 * Pike's encoding; the splitting is that of rust-lang's utf8-ranges).
 */
export function utf8Sequences(low: number, high: number): Array<Array<[number, number]>> {
  for (const last of [0x7ff, 0xffff]) {
    if (low <= last && high > last) return [...utf8Sequences(low, last), ...utf8Sequences(last + 1, high)];
  }
  const size = low < 0x800 ? 2 : low < 0x10000 ? 3 : 4;
  for (let i = 1; i < size; i++) {
    const mask = (1 << (6 * i)) - 1;
    if ((low & ~mask) === (high & ~mask)) continue;
    if ((low & mask) !== 0)
      return [...utf8Sequences(low, low | mask), ...utf8Sequences((low | mask) + 1, high)];
    if ((high & mask) !== mask) {
      return [...utf8Sequences(low, (high & ~mask) - 1), ...utf8Sequences(high & ~mask, high)];
    }
  }
  const [from, to] = [utf8(low, size), utf8(high, size)];
  return [from.map((byte, i) => [byte, to[i]!])];
}

function utf8(code: number, size: number): number[] {
  const bytes: number[] = [];
  for (let i = 1; i < size; i++) {
    bytes.unshift(0x80 | (code & 0x3f));
    code >>= 6;
  }
  return [[0, 0, 0xc0, 0xe0, 0xf0][size]! | code, ...bytes];
}

const isWordByte = (byte: number) =>
  (byte >= 0x30 && byte <= 0x39) ||
  (byte >= 0x41 && byte <= 0x5a) ||
  (byte >= 0x61 && byte <= 0x7a) ||
  byte === 0x5f;

/** Bytes that no edge and no assertion tells apart form a class; `samples` has one byte of each. */
function byteClasses(places: Places): { classes: Uint8Array; samples: number[] } {
  const begins = new Uint8Array(257); // 1 where a new class begins
  const mark = (low: number, high: number) => {
    begins[low] = 1;
    begins[high + 1] = 1;
  };
  for (const edges of places.edges) for (const [low, high] of edges) mark(low, high);
  mark(0x80, 0xbf); // a match does not begin inside a sequence
  if (places.usesLine) mark(0x0a, 0x0a);
  if (places.usesWord) {
    mark(0x30, 0x39);
    mark(0x41, 0x5a);
    mark(0x5f, 0x5f);
    mark(0x61, 0x7a);
  }
  const classes = new Uint8Array(256);
  const samples = [0];
  for (let byte = 1; byte < 256; byte++) {
    if (begins[byte]) samples.push(byte);
    classes[byte] = samples.length - 1;
  }
  return { classes, samples };
}

interface RawDfa {
  start: number;
  rows: number[][];
}

function determinize(places: Places, samples: number[], stateCountMax: number): RawDfa | null {
  const { program } = places;
  const kernels: number[][] = []; // places of each state, sorted
  const behinds: number[] = [];
  const rows: number[][] = [];
  const ids = new Map<string, number>();

  const stateOf = (kernel: number[], behind: number): number => {
    if (kernel.length === 0) return DFA_DEAD;
    const key = `${behind} ${kernel.join()}`;
    let id = ids.get(key);
    if (id === undefined && closure(places, kernel, behind, AHEAD_UNKNOWN) === null) {
      id = DFA_MATCHED;
      ids.set(key, id);
    }
    if (id === undefined) {
      id = kernels.push(kernel) - 1 + DFA_FIRST_ROW;
      behinds.push(behind);
      ids.set(key, id);
    }
    return id;
  };

  const targets = new Map<number, number[][]>(); // of each place, by byte class
  const targetsOf = (place: number): number[][] => {
    let known = targets.get(place);
    if (known === undefined) {
      const edges = places.edges[place]!;
      known = samples.map(byte =>
        edges.filter(([low, high]) => byte >= low && byte <= high).map(edge => edge[2]),
      );
      targets.set(place, known);
    }
    return known;
  };

  const start = stateOf([0], BEHIND_START & places.behindMask);
  for (let state = 0; state < kernels.length; state++) {
    if (kernels.length > stateCountMax) return null;
    const kernel = kernels[state]!;
    const behind = behinds[state]!;
    const closures = new Map<number, number[] | null>(); // by what is ahead
    const closureFor = (ahead: number) => {
      if (!closures.has(ahead)) closures.set(ahead, closure(places, kernel, behind, ahead));
      return closures.get(ahead)!;
    };
    const row = samples.map((byte, byteClass) => {
      const ahead = !places.usesAhead
        ? AHEAD_UNKNOWN
        : byte === 0x0a
          ? AHEAD_NEWLINE
          : isWordByte(byte)
            ? AHEAD_WORD
            : AHEAD_OTHER;
      const inside = byte >= 0x80 && byte <= 0xbf;
      const reached = inside
        ? kernel.filter(place => place >= program.instructions.length)
        : closureFor(ahead);
      if (reached === null) return DFA_MATCHED;
      const next = program.anchored ? [] : [0];
      for (const place of reached) {
        for (const target of targetsOf(place)[byteClass]!) if (!next.includes(target)) next.push(target);
      }
      const newBehind = (byte === 0x0a ? BEHIND_NEWLINE : 0) | (isWordByte(byte) ? BEHIND_WORD : 0);
      return stateOf(
        next.sort((a, b) => a - b),
        newBehind & places.behindMask,
      );
    });
    row.push(closureFor(AHEAD_END) === null ? DFA_MATCHED : DFA_DEAD);
    rows.push(row);
  }
  return { start, rows };
}

/** The reading places that `kernel` leads to without reading, or null when it leads to a match. */
function closure(places: Places, kernel: number[], behind: number, ahead: number): number[] | null {
  const { instructions } = places.program;
  const seen = new Set<number>();
  const reading: number[] = [];
  const stack = [...kernel];
  for (let place = stack.pop(); place !== undefined; place = stack.pop()) {
    if (seen.has(place)) continue;
    seen.add(place);
    const instruction = instructions[place];
    if (instruction === undefined) {
      reading.push(place); // inside a sequence
      continue;
    }
    const { op, operand } = instruction;
    if (op === RUN_MATCH) return null;
    if (op === RUN_CHAR || op === RUN_SET || op === RUN_SKIP) reading.push(place);
    if (op === RUN_SPLIT || op === RUN_SPLIT_AWAY) stack.push(place + 1, operand);
    if (op === RUN_JUMP) stack.push(operand);
    if (op === RUN_SKIP || op === RUN_SAVE || (op === RUN_ASSERT && holds(operand, behind, ahead)))
      stack.push(place + 1);
  }
  return reading;
}

function holds(assertion: number, behind: number, ahead: number): boolean {
  const wordBehind = (behind & BEHIND_WORD) !== 0;
  const wordAhead = ahead === AHEAD_WORD;
  switch (assertion) {
    case ASSERT_TEXT_START:
      return (behind & BEHIND_START) !== 0;
    case ASSERT_LINE_START:
      return (behind & (BEHIND_START | BEHIND_NEWLINE)) !== 0;
    case ASSERT_TEXT_END:
      return ahead === AHEAD_END;
    case ASSERT_LINE_END:
      return ahead === AHEAD_END || ahead === AHEAD_NEWLINE;
    case ASSERT_WORD_BOUNDARY:
      return ahead !== AHEAD_UNKNOWN && wordBehind !== wordAhead;
    default:
      return ahead !== AHEAD_UNKNOWN && wordBehind === wordAhead;
  }
}

/** Splits off the bytes at the start that leave no choice: comparing them is faster than walking through states. */
function takePrefix(raw: RawDfa, classes: Uint8Array): { prefix: Uint8Array; rest: RawDfa } {
  const prefix: number[] = [];
  let start = raw.start;
  // Longer than the rows are many would be a circle: of a pattern that matches nothing.
  while (prefix.length < raw.rows.length) {
    const row = raw.rows[start - DFA_FIRST_ROW]!;
    const open = row.flatMap((target, column) => (target === DFA_DEAD ? [] : [column]));
    const bytes = [...classes.keys()].filter(byte => classes[byte] === open[0]);
    if (open.length !== 1 || bytes.length !== 1 || row[open[0]!]! < DFA_FIRST_ROW) break;
    prefix.push(bytes[0]!);
    start = row[open[0]!]!;
  }
  return { prefix: Uint8Array.from(prefix), rest: reachable(raw.rows, start) };
}

/** The part of an automaton that `start` leads to. */
function reachable(rows: number[][], start: number): RawDfa {
  const kept = new Map([[start, DFA_FIRST_ROW]]);
  for (const state of kept.keys()) {
    for (const target of rows[state - DFA_FIRST_ROW]!) {
      if (target >= DFA_FIRST_ROW && !kept.has(target)) kept.set(target, kept.size + DFA_FIRST_ROW);
    }
  }
  const newRows = [...kept.keys()].map(state =>
    rows[state - DFA_FIRST_ROW]!.map(target => kept.get(target) ?? target),
  );
  return { start: DFA_FIRST_ROW, rows: newRows };
}

/** Merges states that answer alike (Moore's refinement), then byte classes that all states treat alike. */
function shrink(raw: RawDfa, classes: Uint8Array, prefix: Uint8Array): Dfa {
  const blocks = refine(raw.rows);
  // Blocks in the order of their first state: deterministic, and the start comes early.
  const numbers = new Map<number, number>();
  const members: number[] = [];
  raw.rows.forEach((_, state) => {
    if (numbers.has(blocks[state]!)) return;
    numbers.set(blocks[state]!, members.push(state) - 1 + DFA_FIRST_ROW);
  });
  const renumber = (state: number) =>
    state < DFA_FIRST_ROW ? state : numbers.get(blocks[state - DFA_FIRST_ROW]!)!;
  const rows = members.map(state => raw.rows[state]!.map(renumber));

  const classCount = raw.rows[0]!.length - 1;
  const newClass = mergeColumns(rows, classCount);
  const kept = Array.from({ length: Math.max(...newClass) + 1 }, (_, byteClass) =>
    newClass.indexOf(byteClass),
  );
  return {
    classes: classes.map(byteClass => newClass[byteClass]!),
    stride: kept.length + 1,
    prefix,
    rows: rows.map(row => [...kept.map(column => row[column]!), row[classCount]!]),
    start: renumber(raw.start),
    width: 2,
  };
}

/** The new class of each column: columns that are equal in every row are one, counted by their first. */
function mergeColumns(rows: number[][], columnCount: number): number[] {
  let classes = Array.from({ length: columnCount }, () => 0);
  for (const row of rows) {
    const ids = new Map<number, number>(); // pairs (class so far, target) → class
    classes = classes.map((byteClass, column) => {
      const pair = row[column]! * columnCount + byteClass;
      if (!ids.has(pair)) ids.set(pair, ids.size);
      return ids.get(pair)!;
    });
  }
  return classes;
}

/** The block of each row: rows are in one block when no text tells them apart. */
function refine(rows: number[][]): number[] {
  let blocks: number[] = rows.map(() => 0);
  let blockCount = 1;
  for (;;) {
    const signatures = new Map<number, number>(); // pairs (signature so far, block of the next state) → signature
    const ids = new Map<number, number>();
    const width = rows.length * (rows[0]!.length + 1) + 3;
    const next = rows.map((row, state) => {
      let signature = blocks[state]!;
      for (const target of row) {
        const block = target < DFA_FIRST_ROW ? target : blocks[target - DFA_FIRST_ROW]! + DFA_FIRST_ROW;
        const pair = signature * width + block;
        if (!signatures.has(pair)) signatures.set(pair, signatures.size + rows.length);
        signature = signatures.get(pair)!;
      }
      if (!ids.has(signature)) ids.set(signature, ids.size);
      return ids.get(signature)!;
    });
    if (ids.size === blockCount) return next;
    blockCount = ids.size;
    blocks = next;
  }
}
