// A pattern's tree → a program on code points (Thompson's construction, with priorities as in Go's
// regexp/syntax/compile.go). The core runs the program; `dfa` makes an automaton of it.
import {
  ASSERT_LINE_END,
  ASSERT_LINE_START,
  ASSERT_NOT_WORD_BOUNDARY,
  ASSERT_TEXT_END,
  ASSERT_TEXT_START,
  ASSERT_WORD_BOUNDARY,
  RUN_ASSERT,
  RUN_CHAR,
  RUN_FAIL,
  RUN_JUMP,
  RUN_MATCH,
  RUN_SAVE,
  RUN_SET,
  RUN_SKIP,
  RUN_SPLIT,
  RUN_SPLIT_AWAY,
} from '../../assembly/layout.ts';
import { UserError } from '../error.ts';
import type { Assertion, CodePoints, Pattern } from './pattern.ts';
import { union } from './pattern.ts';

/** The most instructions a pattern may need: RE2 allows about as many; a search keeps a bit per instruction and byte. */
export const INSTRUCTION_COUNT_MAX = 10_000;

/** `operand` as in assembly/layout.ts; for RUN_SET and RUN_SKIP it is an index into the program's sets. */
export interface Instruction {
  op: number;
  operand: number;
}

export interface Program {
  instructions: Instruction[];
  sets: CodePoints[];
  /** Names of the captures; capture i is saved in slots 2i and 2i + 1. */
  captures: string[];
  /** A match can only begin at the start of the text. */
  anchored: boolean;
}

const ASSERTIONS: Record<Assertion, number> = {
  textStart: ASSERT_TEXT_START,
  textEnd: ASSERT_TEXT_END,
  lineStart: ASSERT_LINE_START,
  lineEnd: ASSERT_LINE_END,
  wordBoundary: ASSERT_WORD_BOUNDARY,
  notWordBoundary: ASSERT_NOT_WORD_BOUNDARY,
};

export function toProgram(pattern: Pattern, captures: string[]): Program {
  const instructions: Instruction[] = [];
  const sets: CodePoints[] = [];
  const setIndexes = new Map<string, number>();
  const knownSets = new Map<CodePoints, number>(); // a repeated set is the same object each time
  const { firstOf, canBeEmpty } = lookahead();

  const emit = (op: number, operand = 0): Instruction => {
    if (instructions.length === INSTRUCTION_COUNT_MAX) {
      throw new UserError(`pattern is too large: it needs more than ${INSTRUCTION_COUNT_MAX} instructions`);
    }
    const instruction = { op, operand };
    instructions.push(instruction);
    return instruction;
  };
  const here = () => instructions.length;

  const setIndex = (set: CodePoints) => {
    const known = knownSets.get(set);
    if (known !== undefined) return known;
    const key = set.join();
    if (!setIndexes.has(key)) setIndexes.set(key, sets.push(set) - 1);
    const index = setIndexes.get(key)!;
    knownSets.set(set, index);
    return index;
  };

  const emitSet = (set: CodePoints) => {
    if (set.length === 0) return emit(RUN_FAIL);
    if (set.length === 2 && set[0] === set[1]) return emit(RUN_CHAR, set[0]);
    return emit(RUN_SET, setIndex(set));
  };

  const emitAlternate = (options: Pattern[], follow: Follow) => {
    const jumps: Instruction[] = [];
    options.forEach((option, index) => {
      if (index === options.length - 1) return build(option, follow);
      const split = emit(RUN_SPLIT);
      build(option, follow);
      jumps.push(emit(RUN_JUMP));
      split.operand = here();
    });
    for (const jump of jumps) jump.operand = here();
  };

  const emitOptional = (lazy: boolean, body: () => void) => {
    const split = emit(lazy ? RUN_SPLIT_AWAY : RUN_SPLIT);
    body();
    split.operand = here();
  };

  const emitPlus = (of: Pattern, lazy: boolean) => {
    const start = here();
    build(of, null);
    emit(lazy ? RUN_SPLIT : RUN_SPLIT_AWAY, start);
  };

  const emitStar = (of: Pattern, lazy: boolean) => {
    // One split is not enough for a body that can be empty: (|a)* is (|a)+ made optional, as in Go.
    if (canBeEmpty(of)) return emitOptional(lazy, () => emitPlus(of, lazy));
    const start = here();
    emitOptional(lazy, () => {
      build(of, null);
      emit(RUN_JUMP, start);
    });
  };

  const emitRepeat = (of: Pattern, min: number, max: number, lazy: boolean, follow: Follow) => {
    if (max === Infinity && of.kind === 'set' && follow !== null && areDisjoint(of.set, follow)) {
      // What comes next settles where the run ends, lazy or not: there is nothing to try.
      for (let i = 0; i < min; i++) emitSet(of.set);
      emit(RUN_SKIP, setIndex(of.set));
      return;
    }
    if (max === Infinity) {
      if (min === 0) return emitStar(of, lazy);
      for (let i = 1; i < min; i++) build(of, null);
      return emitPlus(of, lazy);
    }
    for (let i = 0; i < min; i++) build(of, null);
    // x{0,3} is (x(x(x)?)?)?: all of them leave to the same place.
    const splits: Instruction[] = [];
    for (let i = min; i < max; i++) {
      splits.push(emit(lazy ? RUN_SPLIT_AWAY : RUN_SPLIT));
      build(of, null);
    }
    for (const split of splits) split.operand = here();
  };

  const buildAll = (parts: Pattern[], follow: Follow) => {
    const follows: Follow[] = [];
    for (let i = parts.length - 1; i >= 0; i--) {
      follows[i] = follow;
      follow = firstOf(parts[i]!, follow);
    }
    parts.forEach((part, i) => build(part, follows[i]!));
  };

  const build = (node: Pattern, follow: Follow): void => {
    switch (node.kind) {
      case 'empty':
        return;
      case 'set':
        emitSet(node.set);
        return;
      case 'assert':
        emit(RUN_ASSERT, ASSERTIONS[node.at]);
        return;
      case 'capture': {
        const slot = captures.indexOf(node.name) * 2;
        emit(RUN_SAVE, slot);
        build(node.of, follow);
        emit(RUN_SAVE, slot + 1);
        return;
      }
      case 'concat':
        buildAll(node.of, follow);
        return;
      case 'alternate':
        return emitAlternate(node.of, follow);
      case 'repeat':
        return emitRepeat(node.of, node.min, node.max, node.lazy, follow);
    }
  };

  build(pattern, null);
  emit(RUN_MATCH);
  return { instructions, sets, captures, anchored: isAnchored(pattern) };
}

/** The code points of which one must come next, or null: that is not known, or nothing has to come. */
type Follow = CodePoints | null;

/** What nodes begin with. Each node is looked at once, however often a repeat builds it. */
function lookahead() {
  const firsts = new Map<Pattern, First>();
  const empties = new Map<Pattern, boolean>();

  /** What a node must begin with when `follow` comes after it. */
  function firstOf(node: Pattern, follow: Follow): Follow {
    const { own, passes } = firstsOf(node);
    if (!passes) return own;
    return own === EMPTY_SET ? follow : either(own, follow);
  }

  function firstsOf(node: Pattern): First {
    const known = firsts.get(node);
    if (known !== undefined) return known;
    const made = makeFirst(node);
    firsts.set(node, made);
    return made;
  }

  function makeFirst(node: Pattern): First {
    switch (node.kind) {
      case 'empty':
        return { own: EMPTY_SET, passes: true };
      case 'assert':
        return { own: null, passes: false };
      case 'set':
        return { own: node.set, passes: false };
      case 'capture':
        return firstsOf(node.of);
      case 'concat': {
        let own: Follow = EMPTY_SET;
        for (const part of node.of) {
          const first = firstsOf(part);
          own = own === EMPTY_SET ? first.own : either(own, first.own);
          if (!first.passes) return { own, passes: false };
        }
        return { own, passes: true };
      }
      case 'alternate': {
        const options = node.of.map(firstsOf);
        return {
          own: options.map(({ own }) => own).reduce(either),
          passes: options.some(({ passes }) => passes),
        };
      }
      case 'repeat': {
        if (isEmptyable(node.of) || node.max === 0) return { own: null, passes: false };
        const { own } = firstsOf(node.of);
        return { own, passes: node.min === 0 };
      }
    }
  }

  function isEmptyable(node: Pattern): boolean {
    const known = empties.get(node);
    if (known !== undefined) return known;
    const made = canBeEmpty(node, isEmptyable);
    empties.set(node, made);
    return made;
  }

  return { firstOf, canBeEmpty: isEmptyable };
}

interface First {
  /** What the node itself can begin with; null when that is not known. */
  own: Follow;
  /** What follows can come first, too. */
  passes: boolean;
}

const EMPTY_SET: CodePoints = [];

function either(a: Follow, b: Follow): Follow {
  if (a === null || b === null) return null;
  if (a === b) return a;
  const both = union(a, b);
  // The same object again, so that it is not joined with itself over and over.
  return isSame(both, b) ? b : both;
}

function isSame(a: CodePoints, b: CodePoints): boolean {
  return a.length === b.length && a.every((code, i) => code === b[i]);
}

function areDisjoint(a: CodePoints, b: CodePoints): boolean {
  for (let i = 0, j = 0; i < a.length && j < b.length;) {
    if (a[i + 1]! < b[j]!) i += 2;
    else if (b[j + 1]! < a[i]!) j += 2;
    else return false;
  }
  return true;
}

/** True when the pattern can match without reading anything, if its assertions hold. */
export function canBeEmpty(node: Pattern, ofInner: (node: Pattern) => boolean = canBeEmpty): boolean {
  switch (node.kind) {
    case 'empty':
    case 'assert':
      return true;
    case 'set':
      return false;
    case 'capture':
      return ofInner(node.of);
    case 'concat':
      return node.of.every(part => ofInner(part));
    case 'alternate':
      return node.of.some(option => ofInner(option));
    case 'repeat':
      return node.min === 0 || ofInner(node.of);
  }
}

/** True when the pattern matches every text: it can be empty, without an assertion. */
export function matchesEverything(node: Pattern): boolean {
  switch (node.kind) {
    case 'empty':
      return true;
    case 'set':
    case 'assert':
      return false;
    case 'capture':
      return matchesEverything(node.of);
    case 'concat':
      return node.of.every(matchesEverything);
    case 'alternate':
      return node.of.some(matchesEverything);
    case 'repeat':
      return node.min === 0 || matchesEverything(node.of);
  }
}

/** True when every match begins at the start of the text. */
function isAnchored(node: Pattern): boolean {
  switch (node.kind) {
    case 'assert':
      return node.at === 'textStart';
    case 'capture':
      return isAnchored(node.of);
    case 'concat':
      return node.of.length > 0 && isAnchored(node.of[0]!);
    case 'alternate':
      return node.of.every(isAnchored);
    case 'repeat':
      return node.min > 0 && isAnchored(node.of);
    default:
      return false;
  }
}

/** The ASCII character that every match begins with, or null. */
export function firstCharacter(node: Pattern): number | null {
  switch (node.kind) {
    case 'set':
      return node.set.length === 2 && node.set[0] === node.set[1] && node.set[0]! < 0x80
        ? node.set[0]!
        : null;
    case 'capture':
      return firstCharacter(node.of);
    case 'concat':
      return node.of.length > 0 ? firstCharacter(node.of[0]!) : null;
    case 'alternate': {
      const first = firstCharacter(node.of[0]!);
      return node.of.every(option => firstCharacter(option) === first) ? first : null;
    }
    case 'repeat':
      return node.min > 0 ? firstCharacter(node.of) : null;
    default:
      return null;
  }
}
