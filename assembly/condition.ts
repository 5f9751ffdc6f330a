// Does a record meet a step? A step's code is a decision graph: test an atom, continue at one of two places.
// Atoms are shared between rules, and each is tested at most once per record.
import * as layout from './layout';
import { isActive } from './active';
import { takeSteps } from './budget';
import { clearWords, findByte, sameBytes } from './bytes';
import { beginCaptures, capturesOf, searchCaptures } from './captures';
import { makeReady, typeOf } from './derive';
import { runDfa } from './dfa';
import { skipNumber } from './json';
import { allocate } from './memory';
import { matchedFrom, matchedTo, search } from './nfa';
import { compareNumber } from './number';
import {
  fieldEnd,
  fieldStart,
  fieldText,
  fieldTextSize,
  fieldType,
  fieldValue,
  firstValue,
  nextValue,
} from './record';
import { hasWord } from './words';

// On longer texts the automaton runs first: it is faster on a text that does not match.
const CAPTURES_FIRST_SIZE_MAX: usize = 1024;

const EACH_STEPS: usize = 16; // of going on to the next value

let ruleset: usize = 0;
let answers: usize = 0; // u32 each: epoch × 2 + answer, when it was tested in this epoch
let epoch: u32 = 0;

export function placeConditions(base: usize, at: usize): usize {
  ruleset = base;
  answers = at;
  return at + (((<usize>load<u32>(base, layout.HEADER_ATOM_COUNT) + 1) & ~1) << 2);
}

export function beginConditions(now: u32): void {
  epoch = now;
  beginCaptures(ruleset);
}

/** Does the scanned record meet this step? */
export function meets(step: u32): bool {
  const steps = ruleset + load<u32>(ruleset, layout.HEADER_STEPS_OFFSET);
  const code = ruleset + load<u32>(steps + <usize>step * layout.STEP_SIZE, layout.STEP_CODE_OFFSET);
  let next: u32 = 0;
  while (next < layout.CODE_FAIL) {
    const instruction = code + <usize>next * layout.CODE_SIZE;
    next = holdsAtom(load<u32>(instruction, layout.CODE_ATOM))
      ? <u32>load<u16>(instruction, layout.CODE_ON_TRUE)
      : <u32>load<u16>(instruction, layout.CODE_ON_FALSE);
  }
  return next == layout.CODE_MATCH;
}

/** The answer of an atom: tested now, or remembered. */
export function holdsAtom(atom: u32): bool {
  const answer = answers + ((<usize>atom) << 2);
  const known = load<u32>(answer);
  if (known >>> 1 == epoch) return (known & 1) != 0;
  const holds = testAtom(atomAt(atom));
  store<u32>(answer, (epoch << 1) | (<u32>holds));
  return holds;
}

function atomAt(index: u32): usize {
  return ruleset + load<u32>(ruleset, layout.HEADER_ATOMS_OFFSET) + <usize>index * layout.ATOM_SIZE;
}

function testAtom(atom: usize): bool {
  const op = load<u32>(atom, layout.ATOM_OP);
  const field = load<u32>(atom, layout.ATOM_FIELD);
  const a = load<u32>(atom, layout.ATOM_A);
  if (op == layout.OP_EACH) return holdsForOne(field, ruleset + a, load<u32>(atom, layout.ATOM_B));
  if (op == layout.OP_ACTIVE) return isActive(ruleset + a);
  const type = typeOf(field);
  switch (op) {
    case layout.OP_EXISTS:
      return type != layout.TYPE_ABSENT;
    case layout.OP_TYPE:
      return type == a;
    case layout.OP_EQUAL:
      return type == layout.TYPE_NUMBER && orderOf(field, type, a) == 0;
    case layout.OP_LESS:
      return isNumeric(field, type) && orderOf(field, type, a) < 0;
    case layout.OP_LESS_OR_EQUAL:
      return isNumeric(field, type) && orderOf(field, type, a) <= 0;
    case layout.OP_GREATER:
      return isNumeric(field, type) && orderOf(field, type, a) > 0;
    case layout.OP_GREATER_OR_EQUAL:
      return isNumeric(field, type) && orderOf(field, type, a) >= 0;
    case layout.OP_SAME_NUMBER:
      return isNumeric(field, type) && orderOf(field, type, a) == 0;
    default:
      return type == layout.TYPE_STRING && testText(op, field, a, load<u32>(atom, layout.ATOM_B));
  }
}

/** Whether one value of a list meets all of the atoms. It is then the value of the field. */
function holdsForOne(field: u32, atoms: usize, count: u32): bool {
  makeReady(field);
  for (let value = firstValue(field); value != 0; value = nextValue(field, value)) {
    takeSteps(EACH_STEPS);
    let met: u32 = 0;
    while (met < count && testAtom(atomAt(load<u32>(atoms + ((<usize>met) << 2))))) met++;
    if (met == count) return true;
  }
  return false;
}

/** A number, or a string that is wholly a JSON number. */
function isNumeric(field: u32, type: u32): bool {
  if (type != layout.TYPE_STRING) return type == layout.TYPE_NUMBER;
  const text = fieldText(field);
  const end = text + fieldTextSize(field);
  takeSteps(end - text);
  return skipNumber(text, end) == end;
}

/** The order of a numeric field and the number at `number`. */
function orderOf(field: u32, type: u32, number: u32): i32 {
  const isText = type == layout.TYPE_STRING;
  const at = isText ? fieldText(field) : fieldStart(field);
  const end = isText ? at + fieldTextSize(field) : fieldEnd(field);
  takeSteps(end - at);
  return compareNumber(at, end, ruleset + number);
}

function testText(op: u32, field: u32, a: u32, b: u32): bool {
  if (op == layout.OP_VALUE) return fieldValue(field) == a;
  if (op == layout.OP_VALUES) return isAmong(fieldValue(field), ruleset + a, b);
  const text = fieldText(field);
  const size = <u32>fieldTextSize(field);
  if (op == layout.OP_STARTS) return size >= b && sameBytes(text, ruleset + a, b);
  if (op == layout.OP_ENDS) return size >= b && sameBytes(text + (size - b), ruleset + a, b);
  if (op == layout.OP_WORDS) return hasWord(ruleset, ruleset + a, text, text + size);
  return matchesPattern(ruleset + a, text, text + size);
}

function isAmong(value: u32, values: usize, count: u32): bool {
  let low: u32 = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = load<u32>(values + ((<usize>middle) << 2));
    if (other == value) return true;
    if (other < value) low = middle + 1;
    else high = middle;
  }
  return false;
}

/** Finds the captures that the templates of a met step use; 0 when there is no memory. */
export function extractCaptures(step: usize): usize {
  const size = (<usize>load<u32>(ruleset, layout.HEADER_SLOT_COUNT)) << 2;
  const found = allocate(size);
  if (found == 0) return 0;
  clearWords(found, size);
  let extract = ruleset + load<u32>(step, layout.STEP_EXTRACTS_OFFSET);
  for (let left = load<u32>(step, layout.STEP_EXTRACT_COUNT); left != 0; left--) {
    const pattern = ruleset + load<u32>(extract, layout.EXTRACT_PATTERN);
    const field = load<u32>(extract, layout.EXTRACT_FIELD);
    // Under `any` the pattern may not match, and a value that is not a string matches no pattern: the slots then stay empty.
    makeReady(field);
    for (let value = firstValue(field); value != 0; value = nextValue(field, value)) {
      if (fieldType(field) != layout.TYPE_STRING) continue;
      const at = fieldText(field);
      const captures = capturesOf(pattern, at, at + fieldTextSize(field));
      if (captures == 0) continue;
      const target = found + ((<usize>load<u32>(extract, layout.EXTRACT_SLOT)) << 2);
      memory.copy(target, captures, (<usize>load<u32>(pattern, layout.PATTERN_SLOT_COUNT)) << 2);
      break;
    }
    extract += layout.EXTRACT_SIZE;
  }
  return found;
}

function matchesPattern(pattern: usize, at: usize, end: usize): bool {
  const capturesFirst = load<u32>(pattern, layout.PATTERN_CAPTURES_FIRST) != 0;
  if (capturesFirst && end - at <= CAPTURES_FIRST_SIZE_MAX) return searchCaptures(pattern, at, end);
  const dfa = load<u32>(pattern, layout.PATTERN_DFA_OFFSET);
  if (dfa == 0) return search(ruleset, pattern, at, end, 0);
  const firstByte = load<u32>(pattern, layout.PATTERN_FIRST_BYTE);
  if (firstByte != layout.NONE) {
    const from = at;
    at = findByte(at, end, firstByte); // the automaton would only stay at its start
    takeSteps((at - from) >>> 3);
  }
  return runDfa(ruleset, ruleset + dfa, at, end);
}

// ── For `earshot explain`: where in the text ────────────────────────────────────────────────────────

let spanStart: usize = 0;
let spanEnd: usize = 0;

export function spanFrom(): usize {
  return spanStart;
}

export function spanTo(): usize {
  return spanEnd;
}

/** Finds the bytes of the field's text that make an atom true; none (start = end) when it is false. */
export function locateAtom(index: u32, captures: usize): void {
  let atom = atomAt(index);
  let op = load<u32>(atom, layout.ATOM_OP);
  const field = load<u32>(atom, layout.ATOM_FIELD);
  const holds = testAtom(atom);
  if (op == layout.OP_EACH) {
    atom = atomAt(load<u32>(ruleset + load<u32>(atom, layout.ATOM_A)));
    op = load<u32>(atom, layout.ATOM_OP);
  }
  const size = <usize>load<u32>(atom, layout.ATOM_B);
  spanStart = fieldText(field);
  spanEnd = spanStart;
  if (!holds) return;
  const end = spanStart + fieldTextSize(field);
  if (op == layout.OP_STARTS) spanEnd = spanStart + size;
  else if (op == layout.OP_ENDS) {
    spanStart = end - size;
    spanEnd = end;
  } else if (op != layout.OP_PATTERN) spanEnd = end;
  else if (search(ruleset, ruleset + load<u32>(atom, layout.ATOM_A), spanStart, end, captures)) {
    spanStart = matchedFrom();
    spanEnd = matchedTo();
  }
}

/** The field that an atom tests. */
export function atomField(index: u32): u32 {
  return load<u32>(atomAt(index), layout.ATOM_FIELD);
}
