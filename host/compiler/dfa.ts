// A program → a deterministic automaton on bytes that answers "does any part of the text match?".
//
// The construction follows regex-automata's determinize: a state is a set of places in the program plus
// what was just read (for `^`, `\b`); assertions that look ahead are settled when the next byte is known,
// and the end of the text is one more symbol. The answer is yes or no, so order does not matter, and sets
// are sorted, which makes fewer states. The text is valid UTF-8 (the core made sure of that), so a class that
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
  /** Entries of a row: one for each byte class, and then one for the end of the text. */
  stride: number;
  /** The bytes that every matching text begins with; the automaton reads what comes after them. */
  prefix: Uint8Array;
  /** DFA_DEAD, DFA_MATCHED, then the rows: states 2 and up. */
  rows: number[][];
  start: number;
  /** Bytes per state in the ruleset: 2 is faster, 1 is half as large and holds 254 rows. */
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

/**
 * What building one automaton may cost, in steps of some 20 ns: below half a second. Without this bound a pattern
 * of 18 characters would take minutes before it turns out to have too many states.
 */
const WORK_MAX = 10_000_000;

/** Steps that are left; below 0 the automaton is given up. */
interface Work {
  left: number;
}

/** The automaton, or null when it would have more than `stateCountMax` states or cost more than `workMax`. */
export function toDfa(program: Program, stateCountMax: number, workMax = WORK_MAX): Dfa | null {
  const work = { left: workMax };
  const places = new Places(program, work);
  if (work.left < 0) return null;
  const { classes, samples } = byteClasses(places);
  const raw = determinize(places, classes, samples, stateCountMax, work);
  if (raw === null) return null;
  if (raw.start < DFA_FIRST_ROW)
    return { classes, stride: 0, prefix: new Uint8Array(), rows: [], start: raw.start, width: 2 };
  const { prefix, rest } = takePrefix(raw, classes);
  return shrink(rest, classes, prefix);
}

/** True when the automaton matches every text. */
export function isUniversal(dfa: Dfa): boolean {
  if (dfa.start < DFA_FIRST_ROW) return dfa.start === DFA_MATCHED;
  if (dfa.prefix.length > 0) return false;
  return dfa.rows.every(row => row[dfa.stride - 1] === DFA_MATCHED && !row.includes(DFA_DEAD));
}

/** Bytes that an automaton takes in the ruleset with entries of this width. */
export function dfaSize(dfa: Dfa, width: number = dfa.width): number {
  return DFA_ROWS + dfa.rows.length * dfa.stride * width;
}

/** Bytes in a row, as ranges: the UTF-8 of some code points. */
type Sequence = Array<[low: number, high: number]>;

/** The program's instructions as places 0 … n-1, and after them places inside UTF-8 sequences. */
class Places {
  readonly program: Program;
  readonly usesAhead: boolean;
  readonly behindMask: number;
  readonly usesWord: boolean;
  readonly usesLine: boolean;
  /** What each set of the program reads, and each character. */
  readonly setSequences: Sequence[][];
  readonly charSequences = new Map<number, Sequence[]>();
  /** How many places there are. */
  count: number;
  private readonly work: Work;
  /** The edges of each place, made when they are first needed: most places of a large program are never reached. */
  private readonly edges: Array<Edge[] | undefined> = [];
  /** Places inside sequences by their one edge, so that equal endings share their places. */
  private readonly shared = new Map<number, number>();

  constructor(program: Program, work: Work) {
    const { instructions } = program;
    this.program = program;
    this.work = work;
    this.count = instructions.length;
    const asserts = (...kinds: number[]) =>
      instructions.some(({ op, operand }) => op === RUN_ASSERT && kinds.includes(operand));
    this.usesWord = asserts(ASSERT_WORD_BOUNDARY, ASSERT_NOT_WORD_BOUNDARY);
    this.usesLine = asserts(ASSERT_LINE_START, ASSERT_LINE_END);
    this.usesAhead = this.usesWord || asserts(ASSERT_LINE_END, ASSERT_TEXT_END);
    this.behindMask =
      (asserts(ASSERT_TEXT_START, ASSERT_LINE_START) ? BEHIND_START : 0) |
      (asserts(ASSERT_LINE_START) ? BEHIND_NEWLINE : 0) |
      (this.usesWord ? BEHIND_WORD : 0);
    this.setSequences = program.sets.map(set => this.sequencesOf(set));
    for (const { op, operand } of instructions) {
      if (op === RUN_CHAR && !this.charSequences.has(operand))
        this.charSequences.set(operand, this.sequencesOf([operand, operand]));
    }
  }

  edgesOf(place: number): Edge[] {
    return (this.edges[place] ??= this.makeEdges(place));
  }

  private makeEdges(place: number): Edge[] {
    const { op, operand } = this.program.instructions[place]!; // places inside sequences have theirs
    if (op === RUN_CHAR) return this.setEdges(this.charSequences.get(operand)!, place + 1);
    if (op === RUN_SET) return this.setEdges(this.setSequences[operand]!, place + 1);
    return op === RUN_SKIP ? this.setEdges(this.setSequences[operand]!, place) : [];
  }

  private setEdges(sequences: Sequence[], target: number): Edge[] {
    return sequences.map(sequence => {
      let next = target;
      for (let i = sequence.length - 1; i > 0; i--) next = this.placeBefore(sequence[i]!, next);
      this.work.left -= SEQUENCE_WORK;
      return [sequence[0]![0], sequence[0]![1], next];
    });
  }

  /** The place from which these bytes lead to `next`. */
  private placeBefore([low, high]: [number, number], next: number): number {
    const key = (next * 256 + low) * 256 + high;
    const known = this.shared.get(key);
    if (known !== undefined) return known;
    this.edges[this.count] = [[low, high, next]];
    this.shared.set(key, this.count);
    return this.count++;
  }

  private sequencesOf(set: CodePoints): Sequence[] {
    const sequences: Sequence[] = [];
    for (let i = 0; i < set.length && this.work.left >= 0; i += 2) {
      const [low, high] = [set[i]!, set[i + 1]!];
      if (low < 0x80) sequences.push([[low, Math.min(high, 0x7f)]]);
      if (high < 0x80) continue;
      const more = low <= 0x80 && high >= 0x10ffff ? ALL_MULTIBYTE : utf8Sequences(Math.max(low, 0x80), high);
      for (const sequence of more) sequences.push(sequence);
      this.work.left -= SEQUENCE_WORK * more.length;
    }
    return sequences;
  }
}

/** Steps that a sequence of bytes costs. */
const SEQUENCE_WORK = 60;

const ALL_MULTIBYTE: Sequence[] = [
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

/** Bytes that no edge and no assertion distinguishes form a class; `samples` has one byte of each. */
function byteClasses(places: Places): { classes: Uint8Array; samples: number[] } {
  const begins = new Uint8Array(257); // 1 where a new class begins
  const mark = (low: number, high: number) => {
    begins[low] = 1;
    begins[high + 1] = 1;
  };
  for (const sequences of [...places.setSequences, ...places.charSequences.values()])
    for (const sequence of sequences) for (const [low, high] of sequence) mark(low, high);
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

function determinize(
  places: Places,
  classes: Uint8Array,
  samples: number[],
  stateCountMax: number,
  work: Work,
): RawDfa | null {
  const { program } = places;
  const kernels: number[][] = []; // places of each state, sorted
  const behinds: number[] = [];
  const rows: number[][] = [];
  const ids = new Map<string, number>();
  const closure = closureFinder(places, work);

  const stateOf = (kernel: number[], behind: number): number => {
    if (kernel.length === 0) return DFA_DEAD;
    const key = `${behind} ${kernel.join()}`;
    let id = ids.get(key);
    if (id === undefined && closure(kernel, behind, AHEAD_UNKNOWN) === null) {
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

  const targetsOf = targetFinder(places, classes, samples, work);
  const seen: number[] = []; // the row and class in which each place was last reached
  const start = stateOf([0], BEHIND_START & places.behindMask);
  for (let state = 0; state < kernels.length; state++) {
    if (kernels.length > stateCountMax) return null;
    const kernel = kernels[state]!;
    const behind = behinds[state]!;
    const closures = new Map<number, number[] | null>(); // by what is ahead
    const closureFor = (ahead: number) => {
      if (!closures.has(ahead)) closures.set(ahead, closure(kernel, behind, ahead));
      return closures.get(ahead)!;
    };
    const row: number[] = [];
    for (const [byteClass, byte] of samples.entries()) {
      const inside = byte >= 0x80 && byte <= 0xbf;
      const reached = inside
        ? kernel.filter(place => place >= program.instructions.length)
        : closureFor(places.usesAhead ? aheadOf(byte) : AHEAD_UNKNOWN);
      if (reached === null) {
        row.push(DFA_MATCHED);
        continue;
      }
      const mark = state * samples.length + byteClass;
      const next = program.anchored ? [] : [0];
      if (!program.anchored) seen[0] = mark;
      for (const place of reached) {
        if (work.left < 0) return null;
        for (const target of targetsOf(place)[byteClass]!) {
          if (seen[target] === mark) continue;
          seen[target] = mark;
          next.push(target);
        }
      }
      // Sorted and looked up as text: that is most of the work.
      work.left -= reached.length + PLACE_WORK * next.length;
      if (work.left < 0) return null;
      const newBehind = (byte === 0x0a ? BEHIND_NEWLINE : 0) | (isWordByte(byte) ? BEHIND_WORD : 0);
      row.push(stateOf(next.sort((a, b) => a - b), newBehind & places.behindMask)); // prettier-ignore
    }
    row.push(closureFor(AHEAD_END) === null ? DFA_MATCHED : DFA_DEAD);
    rows.push(row);
  }
  return { start, rows };
}

/** Steps that a place of a state costs. */
const PLACE_WORK = 10;

function aheadOf(byte: number): number {
  if (byte === 0x0a) return AHEAD_NEWLINE;
  return isWordByte(byte) ? AHEAD_WORD : AHEAD_OTHER;
}

/** Steps that an entry of a place's targets costs. */
const TARGET_WORK = 4;

/** Where each place leads to, by byte class. */
function targetFinder(
  places: Places,
  classes: Uint8Array,
  samples: number[],
  work: Work,
): (place: number) => number[][] {
  const known: Array<number[][] | undefined> = [];
  return place => {
    const targets = known[place];
    if (targets !== undefined) return targets;
    const made: number[][] = samples.map(() => []);
    for (const [low, high, target] of places.edgesOf(place)) {
      for (let byteClass = classes[low]!; byteClass <= classes[high]!; byteClass++)
        made[byteClass]!.push(target);
      work.left -= TARGET_WORK * (1 + classes[high]! - classes[low]!);
    }
    work.left -= TARGET_WORK * samples.length;
    known[place] = made;
    return made;
  };
}

/** Finds the reading places that a state's places lead to without reading, or null when they lead to a match. */
function closureFinder(
  places: Places,
  work: Work,
): (kernel: number[], behind: number, ahead: number) => number[] | null {
  const { instructions } = places.program;
  const seen: number[] = []; // the call in which each place was last seen
  let call = 0;
  return (kernel, behind, ahead) => {
    call++;
    const reading: number[] = [];
    const stack = [...kernel];
    for (let place = stack.pop(); place !== undefined; place = stack.pop()) {
      if (seen[place] === call) continue;
      seen[place] = call;
      work.left -= CLOSURE_WORK;
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
  };
}

/** Steps that a place costs on the way through the program. */
const CLOSURE_WORK = 2;

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
  // A prefix longer than the number of rows would be a circle: the pattern matches nothing.
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

/** Merges byte classes that all states treat alike, then states that no text distinguishes. */
function shrink(raw: RawDfa, classes: Uint8Array, prefix: Uint8Array): Dfa {
  const classCount = raw.rows[0]!.length - 1;
  const newClass = mergeColumns(raw.rows, classCount);
  const narrow = { start: raw.start, rows: raw.rows.map(row => pickColumns(row, newClass)) };
  const merged = mergeStates(narrow);
  // Only states that are merged now may have distinguished some classes.
  const lastClass = mergeColumns(merged.rows, merged.rows[0]!.length - 1);
  const rows = merged.rows.map(row => pickColumns(row, lastClass));
  return {
    classes: classes.map(byteClass => lastClass[newClass[byteClass]!]!),
    stride: rows[0]!.length,
    prefix,
    rows,
    start: merged.start,
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

/** The first column of each class, and the last column, which is the end of the text. */
function pickColumns(row: number[], classOf: number[]): number[] {
  const picked: number[] = [];
  classOf.forEach((byteClass, column) => {
    if (byteClass === picked.length) picked.push(row[column]!);
  });
  picked.push(row.at(-1)!);
  return picked;
}

/** Merges states that no text distinguishes. */
function mergeStates(raw: RawDfa): RawDfa {
  const blocks = partition(raw.rows);
  // Blocks in the order of their first state: deterministic, and the start comes early.
  const numbers = new Map<number, number>();
  const members: number[] = [];
  raw.rows.forEach((_, state) => {
    const block = blocks[state + DFA_FIRST_ROW]!;
    if (!numbers.has(block)) numbers.set(block, members.push(state) - 1 + DFA_FIRST_ROW);
  });
  const renumber = (state: number) => (state < DFA_FIRST_ROW ? state : numbers.get(blocks[state]!)!);
  return { start: renumber(raw.start), rows: members.map(state => raw.rows[state]!.map(renumber)) };
}

/**
 * The block of each state; states are in one block when no text distinguishes them. Hopcroft's algorithm: blocks are
 * split by which states lead into a block, and the smaller part is enough to split by next. Its time is
 * n log n; refining all states at once, round by round, takes n² for a pattern such as `x.{900}y`.
 */
function partition(rows: number[][]): Int32Array {
  const count = rows.length + DFA_FIRST_ROW;
  const { firsts, sources } = incoming(rows, count);
  const columnCount = rows[0]!.length;
  const states = Int32Array.from({ length: count }, (_, state) => state); // grouped by block
  const positions = states.slice();
  const blocks = Int32Array.from(states, state => Math.min(state, DFA_FIRST_ROW));
  const starts = [0, 1, DFA_FIRST_ROW];
  const ends = [1, DFA_FIRST_ROW, count];
  const chosen = [0, 0, 0]; // states of each block that lead into the splitting one: moved to the block's front
  const pending = [0, 1, DFA_FIRST_ROW];
  const isPending = [true, true, true];

  for (let splitter = pending.pop(); splitter !== undefined; splitter = pending.pop()) {
    isPending[splitter] = false;
    const members = states.slice(starts[splitter]!, ends[splitter]!);
    for (let column = 0; column < columnCount; column++) {
      const touched: number[] = [];
      for (const member of members) {
        const at = column * count + member;
        for (let i = firsts[at]!; i < firsts[at + 1]!; i++) choose(sources[i]!, touched);
      }
      for (const block of touched) split(block);
    }
  }
  return blocks;

  function choose(state: number, touched: number[]): void {
    const block = blocks[state]!;
    if (chosen[block] === 0) touched.push(block);
    const place = starts[block]! + chosen[block]!++;
    const other = states[place]!;
    const from = positions[state]!;
    states[place] = state;
    states[from] = other;
    positions[state] = place;
    positions[other] = from;
  }

  function split(block: number): void {
    const size = chosen[block]!;
    chosen[block] = 0;
    const start = starts[block]!;
    if (size === ends[block]! - start) return;
    const added = starts.push(start) - 1;
    ends.push(start + size);
    chosen.push(0);
    starts[block] = start + size;
    for (let i = start; i < start + size; i++) blocks[states[i]!] = added;
    const isSmaller = size <= ends[block]! - starts[block]!;
    const next = isPending[block] || isSmaller ? added : block;
    isPending[added] = false;
    isPending[next] = true;
    pending.push(next);
  }
}

/** For each column and state: the states whose entry in that column leads to it. */
function incoming(rows: number[][], count: number): { firsts: Int32Array; sources: Int32Array } {
  const columnCount = rows[0]!.length;
  const firsts = new Int32Array(columnCount * count + 1);
  for (const row of rows) row.forEach((target, column) => firsts[column * count + target + 1]!++);
  for (let i = 1; i < firsts.length; i++) firsts[i]! += firsts[i - 1]!;
  const sources = new Int32Array(rows.length * columnCount);
  const filled = firsts.slice();
  rows.forEach((row, index) =>
    row.forEach((target, column) => {
      sources[filled[column * count + target]!++] = index + DFA_FIRST_ROW;
    }),
  );
  return { firsts, sources };
}
