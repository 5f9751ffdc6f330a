// A pattern's automaton, built while it reads: does any part of the text match? It is for patterns whose whole automaton
// is too large, on texts that backtracking is too slow for. Memory is bounded: when the table of states is full it is
// emptied, and the search goes on from where it is.
//
// A state is the set of places in the program where a match may be, a bit for each instruction, closed under what reads
// nothing. Assertions that only the next code point settles stay in it. A step keeps the bits that accept the code point
// and shifts them to the next instruction, 64 at a time: it costs little even when no state comes again.
//
// When the table has been emptied CLEARS_MAX times within few bytes, states do not come again: from then on none are kept.
//
// A state, fixed in size: [hash u32] [behind u32] [row u16[128], the next state by ASCII byte] [places u64[words]]
import * as layout from './layout';
import { takeSteps } from './budget';
import { clearWords, copyBytes } from './bytes';
import { codePoint } from './json';
import { allocate, isExhausted } from './memory';
import { isInSet, isWordByte, sequenceSizeOf } from './program';

const UNKNOWN: u32 = 0; // names of states; this one: the transition is not known yet
const DEAD: u32 = 1;
const MATCHED: u32 = 2;
const FIRST: u32 = 3;

const STATE_HASH = 0;
const STATE_BEHIND = 4;
const STATE_ROW = 8;
const STATE_PLACES: usize = 264;
const NAME_MAX: usize = 0xffff; // a row's entry is a u16

const BEHIND_START: u32 = 1; // nothing was read yet
const BEHIND_NEWLINE: u32 = 2;
const BEHIND_WORD: u32 = 4;

const AHEAD_END: u32 = 0x110000; // in place of a code point

// Above ASCII, sets and transitions are kept in tables by lowest bits: a new entry replaces the one in its place.
const WIDE_COUNT: usize = 512; // transitions: [state u32] [code point u32] [next state u32]
const WIDE_SIZE: usize = 12;
const ACCEPT_COUNT: usize = 64; // sets of the instructions that accept a code point: [code point u32] [address u32]

const CLEARS_MAX: u32 = 2;
const BYTES_PER_STATE_MIN: usize = 10; // as in RE2: below this a table is of no use

const EXPANSION_STEPS: usize = 3; // what following one instruction costs, in steps
const TRANSITION_STEPS: usize = 8; // what reading a code point costs in addition to its words
const STATE_STEPS: usize = 20; // what making a state costs in addition to its words

let program: usize = 0;
let instructionCount: usize = 0;
let words: usize = 0; // u64 of a set
let isAnchored: bool = false;
let behindMask: u32 = 0; // what the assertions need to know of what was read
let plain: usize = 0; // the set of instructions that only read
let skips: usize = 0; // RUN_SKIP
let looks: usize = 0; // assertions that the next code point settles
let hasLooks: bool = false;
let accepts: usize = 0; // by ASCII byte, the address of the set that accepts it, 0: not made yet
let wideAccepts: usize = 0;
let wides: usize = 0;
let states: usize = 0; // FIRST is at its beginning
let stateSize: usize = 0;
let stateCount: u32 = 0;
let stateCountMax: u32 = 0;
let heads: usize = 0; // names by hash, u16, open addressing
let headMask: u32 = 0;
let current: usize = 0; // the set that is being read, with its assertions settled
let next: usize = 0; // the set that is being made
let seen: usize = 0;
let stack: usize = 0;
let hasMatched: bool = false;
let clearCount: u32 = 0; // how often the table was emptied too soon
let clearedAt: usize = 0; // and where it was emptied last

/** Does a match begin at `start` or later? `textStart` … `textEnd` is the whole text. False when `isExhausted`. */
export function lazyMatches(
  programAt: usize,
  count: usize,
  anchored: bool,
  textStart: usize,
  start: usize,
  textEnd: usize,
): bool {
  program = programAt;
  instructionCount = count;
  isAnchored = anchored;
  if (!place(textEnd - start)) return false;
  const behind = start == textStart ? BEHIND_START : behindOf(load<u8>(start - 1));
  memory.fill(next, 0, words << 3);
  addStart(behind & behindMask);
  if (hasMatched) return true;
  clearCount = 0;
  clearedAt = start;
  return run(nameOf(behind & behindMask), start, textEnd);
}

function run(state: u32, at: usize, end: usize): bool {
  const start = at;
  while (at < end) {
    if (stateCount == stateCountMax && isThrashing(at)) {
      takeSteps(at - start);
      const places = stateAt(state);
      copyBytes(next, places + STATE_PLACES, words << 3);
      return runUnnamed(load<u32>(places, STATE_BEHIND), at, end);
    }
    let code = <u32>load<u8>(at);
    let following: u32;
    if (code < 0x80) {
      following = load<u16>(stateAt(state) + ((<usize>code) << 1), STATE_ROW);
      at++;
      if (following == UNKNOWN) following = step(state, code);
    } else {
      const size = sequenceSizeOf(code);
      code = codePoint(at, size);
      at += size;
      following = stepWide(state, code);
    }
    if (following <= MATCHED) {
      takeSteps(at - start);
      return following == MATCHED;
    }
    state = following;
  }
  takeSteps(at - start);
  copyBytes(next, stateAt(state) + STATE_PLACES, words << 3);
  settle(load<u32>(stateAt(state), STATE_BEHIND), AHEAD_END);
  return hasMatched;
}

/** Has the table become full too often and too soon? Otherwise it is emptied. */
function isThrashing(at: usize): bool {
  if (at - clearedAt >= <usize>stateCount * BYTES_PER_STATE_MIN) clearCount = 0;
  else if (at != clearedAt) clearCount++;
  clearedAt = at;
  return clearCount > CLEARS_MAX;
}

/** Like `run`, with the places in `next`, and without keeping states. */
function runUnnamed(behind: u32, at: usize, end: usize): bool {
  while (at < end) {
    const lead = <u32>load<u8>(at);
    const size = sequenceSizeOf(lead);
    const code = lead < 0x80 ? lead : codePoint(at, size);
    at += size;
    read(behind, code);
    if (hasMatched || isExhausted()) return hasMatched && !isExhausted();
    behind = behindOf(code) & behindMask;
  }
  settle(behind, AHEAD_END);
  return hasMatched;
}

// ── Memory ──────────────────────────────────────────────────────────────────────────────────────────

/** Takes memory for a text of `size` bytes; false when there is none. */
function place(size: usize): bool {
  words = (instructionCount + 63) >>> 6;
  stateSize = STATE_PLACES + (words << 3);
  // A text of few bytes meets few states.
  const room = max(2, min(<usize>layout.LAZY_SIZE_MAX / stateSize, NAME_MAX - <usize>FIRST));
  stateCountMax = <u32>min(room, size + 2);
  headMask = ((<u32>1) << (33 - <u32>clz<u32>(stateCountMax))) - 1;
  const setSize = words << 3;
  plain = allocate(setSize * 6);
  accepts = allocate(128 * 4 + ACCEPT_COUNT * 8 + WIDE_COUNT * WIDE_SIZE);
  heads = allocate((<usize>headMask + 1) << 1);
  stack = allocate((instructionCount + 1) << 2);
  states = allocate(<usize>stateCountMax * stateSize);
  if (isExhausted()) return false;
  skips = plain + setSize;
  looks = skips + setSize;
  current = looks + setSize;
  next = current + setSize;
  seen = next + setSize;
  wideAccepts = accepts + 128 * 4;
  wides = wideAccepts + ACCEPT_COUNT * 8;
  memory.fill(accepts, 0, 128 * 4 + ACCEPT_COUNT * 8);
  sortInstructions();
  clearStates();
  return true;
}

function clearStates(): void {
  stateCount = 0;
  memory.fill(heads, 0, (<usize>headMask + 1) << 1);
  memory.fill(wides, 0, WIDE_COUNT * WIDE_SIZE);
}

function addBit(set: usize, pc: usize): void {
  const word = set + ((pc >>> 6) << 3);
  store<u64>(word, load<u64>(word) | ((<u64>1) << ((<u64>pc) & 63)));
}

function hasBit(set: usize, pc: usize): bool {
  return ((load<u64>(set + ((pc >>> 6) << 3)) >>> ((<u64>pc) & 63)) & 1) != 0;
}

function instructionAt(pc: usize): u32 {
  return load<u32>(program + pc * layout.INSTRUCTION_SIZE);
}

/** Fills the sets of instructions that only read, that skip, and that look ahead. */
function sortInstructions(): void {
  memory.fill(plain, 0, (words << 3) * 3);
  behindMask = 0;
  hasLooks = false;
  for (let pc: usize = 0; pc < instructionCount; pc++) {
    const instruction = instructionAt(pc);
    const op = instruction & 0xff;
    if (op == layout.RUN_CHAR || op == layout.RUN_SET) addBit(plain, pc);
    else if (op == layout.RUN_SKIP) addBit(skips, pc);
    else if (op == layout.RUN_ASSERT) {
      behindMask |= behindMaskOf(instruction >>> 8);
      if (looksAhead(instruction >>> 8)) {
        addBit(looks, pc);
        hasLooks = true;
      }
    }
  }
  takeSteps(instructionCount);
}

function looksAhead(assertion: u32): bool {
  return assertion != layout.ASSERT_TEXT_START && assertion != layout.ASSERT_LINE_START;
}

function behindMaskOf(assertion: u32): u32 {
  switch (assertion) {
    case layout.ASSERT_TEXT_START:
      return BEHIND_START;
    case layout.ASSERT_LINE_START:
      return BEHIND_START | BEHIND_NEWLINE;
    case layout.ASSERT_WORD_BOUNDARY:
    case layout.ASSERT_NOT_WORD_BOUNDARY:
      return BEHIND_WORD;
    default:
      return 0;
  }
}

// ── States ──────────────────────────────────────────────────────────────────────────────────────────

function stateAt(name: u32): usize {
  return states + <usize>(name - FIRST) * stateSize;
}

/** The name of the state whose places are in `next`; a new one when there is none. */
function nameOf(behind: u32): u32 {
  let hash: u64 = behind;
  let any: u64 = 0;
  for (let i: usize = 0; i < words << 3; i += 8) {
    const word = load<u64>(next + i);
    any |= word;
    hash = (hash ^ word) * 0x9e3779b97f4a7c15;
    hash ^= hash >>> 32;
  }
  if (any == 0 && isAnchored) return DEAD;
  const short = <u32>hash;
  let slot = short & headMask;
  for (;;) {
    const name = <u32>load<u16>(heads + ((<usize>slot) << 1));
    if (name == 0) break;
    if (isState(stateAt(name), short, behind)) return name;
    slot = (slot + 1) & headMask;
  }
  if (stateCount == stateCountMax) {
    clearStates();
    slot = short & headMask;
  }
  const name = FIRST + stateCount++;
  store<u16>(heads + ((<usize>slot) << 1), <u16>name);
  const state = stateAt(name);
  store<u32>(state, short, STATE_HASH);
  store<u32>(state, behind, STATE_BEHIND);
  clearWords(state + STATE_ROW, STATE_PLACES - STATE_ROW);
  copyBytes(state + STATE_PLACES, next, words << 3);
  takeSteps(words + STATE_STEPS);
  return name;
}

function isState(state: usize, hash: u32, behind: u32): bool {
  return load<u32>(state, STATE_HASH) == hash && load<u32>(state, STATE_BEHIND) == behind && hasPlaces(state);
}

function hasPlaces(state: usize): bool {
  for (let i: usize = 0; i < words << 3; i += 8) {
    if (load<u64>(state + i, STATE_PLACES) != load<u64>(next + i)) return false;
  }
  return true;
}

// ── Steps ───────────────────────────────────────────────────────────────────────────────────────────

/** The state after an ASCII byte. */
function step(state: u32, code: u32): u32 {
  const countBefore = stateCount;
  const following = stateAfter(state, code);
  // If the table was emptied, the state from which this began is gone.
  if (stateCount >= countBefore) store<u16>(stateAt(state) + ((<usize>code) << 1), <u16>following, STATE_ROW);
  return following;
}

/** The state after any other code point. */
function stepWide(state: u32, code: u32): u32 {
  const entry = wides + ((<usize>(state * 31 + code)) & (WIDE_COUNT - 1)) * WIDE_SIZE;
  if (load<u32>(entry) == state && load<u32>(entry, 4) == code) return load<u32>(entry, 8);
  const countBefore = stateCount;
  const following = stateAfter(state, code);
  if (stateCount >= countBefore) {
    store<u32>(entry, state);
    store<u32>(entry, code, 4);
    store<u32>(entry, following, 8);
  }
  return following;
}

/** DEAD when the record's steps or memory are used up. */
function stateAfter(name: u32, code: u32): u32 {
  const state = stateAt(name);
  copyBytes(next, state + STATE_PLACES, words << 3);
  read(load<u32>(state, STATE_BEHIND), code);
  if (isExhausted()) return DEAD;
  return hasMatched ? MATCHED : nameOf(behindOf(code) & behindMask);
}

/** Reads a code point: from the places in `next` to those after it, in `next` again. Sets `hasMatched`. */
function read(behind: u32, code: u32): void {
  takeSteps(words * 3 + TRANSITION_STEPS);
  settle(behind, code);
  if (hasMatched) return;
  shift(acceptedBy(code));
  close(behindOf(code) & behindMask);
}

/** Moves the places from `next` to `current`, with what their assertions lead to before this code point. */
function settle(behind: u32, code: u32): void {
  const places = next;
  next = current;
  current = places;
  hasMatched = false;
  if (!hasLooks) return;
  clearWords(seen, words << 3);
  for (let i: usize = 0; i < words; i++) {
    // Assertions that look ahead and that `follow` adds here are settled already.
    let bits = load<u64>(places + (i << 3)) & load<u64>(looks + (i << 3));
    for (; bits != 0; bits &= bits - 1) follow((i << 6) + <usize>ctz(bits), current, behind, code);
  }
}

/** Moves the places of `current` that accept the code point to the instruction after; all others end. */
function shift(accepted: usize): void {
  let carry: u64 = 0;
  for (let i: usize = 0; i < words << 3; i += 8) {
    const bits = load<u64>(current + i) & load<u64>(accepted + i);
    const stay = bits & load<u64>(skips + i);
    const move = bits ^ stay;
    store<u64>(current + i, (move << 1) | carry | stay);
    carry = move >>> 63;
  }
}

/** Fills `next` with the places that `current` leads to without reading, and begins a new match. */
function close(behind: u32): void {
  hasMatched = false;
  for (let i: usize = 0; i < words << 3; i += 8) {
    store<u64>(next + i, load<u64>(current + i) & load<u64>(plain + i));
    store<u64>(seen + i, 0);
  }
  for (let i: usize = 0; i < words; i++) {
    let bits = load<u64>(current + (i << 3)) & ~load<u64>(plain + (i << 3));
    for (; bits != 0; bits &= bits - 1) follow((i << 6) + <usize>ctz(bits), next, behind, layout.NONE);
  }
  if (!isAnchored) follow(0, next, behind, layout.NONE);
}

function addStart(behind: u32): void {
  hasMatched = false;
  clearWords(seen, words << 3);
  follow(0, next, behind, layout.NONE);
}

/**
 * Adds to a set the reading places that `pc` leads to. `code` is what comes next; while that is not known (NONE),
 * assertions that look ahead stay in the set.
 */
function follow(pc: usize, set: usize, behind: u32, code: u32): void {
  let count: usize = 1;
  let steps: usize = 0;
  store<u32>(stack, <u32>pc);
  while (count != 0) {
    count--;
    pc = load<u32>(stack + (count << 2));
    while (!hasBit(seen, pc)) {
      steps++;
      addBit(seen, pc);
      const instruction = instructionAt(pc);
      const operand = instruction >>> 8;
      const op = instruction & 0xff;
      if (op == layout.RUN_SPLIT || op == layout.RUN_SPLIT_AWAY) {
        store<u32>(stack + (count++ << 2), operand);
        pc++;
      } else if (op == layout.RUN_JUMP) {
        pc = operand;
      } else if (op == layout.RUN_SAVE) {
        pc++;
      } else if (op == layout.RUN_SKIP) {
        addBit(set, pc++);
      } else if (op == layout.RUN_ASSERT) {
        if (code == layout.NONE && looksAhead(operand)) {
          addBit(set, pc);
          break;
        }
        if (!holds(operand, behind, code)) break;
        pc++;
      } else {
        if (op == layout.RUN_MATCH) hasMatched = true;
        else if (op != layout.RUN_FAIL) addBit(set, pc);
        break;
      }
    }
  }
  takeSteps(steps * EXPANSION_STEPS);
}

function holds(assertion: u32, behind: u32, code: u32): bool {
  switch (assertion) {
    case layout.ASSERT_TEXT_START:
      return (behind & BEHIND_START) != 0;
    case layout.ASSERT_LINE_START:
      return (behind & (BEHIND_START | BEHIND_NEWLINE)) != 0;
    case layout.ASSERT_TEXT_END:
      return code == AHEAD_END;
    case layout.ASSERT_LINE_END:
      return code == AHEAD_END || code == 0x0a;
    default: {
      const isBoundary = ((behind & BEHIND_WORD) != 0) != isWordByte(code);
      return isBoundary == (assertion == layout.ASSERT_WORD_BOUNDARY);
    }
  }
}

function behindOf(code: u32): u32 {
  return code == 0x0a ? BEHIND_NEWLINE : isWordByte(code) ? BEHIND_WORD : 0;
}

/** The set of the instructions that accept a code point. */
function acceptedBy(code: u32): usize {
  if (code < 0x80) {
    const entry = accepts + ((<usize>code) << 2);
    if (load<usize>(entry) == 0) store<usize>(entry, fillAccepted(allocate(words << 3), code));
    return load<usize>(entry);
  }
  const entry = wideAccepts + (((<usize>code) & (ACCEPT_COUNT - 1)) << 3);
  if (load<u32>(entry) != code) {
    const set = load<usize>(entry, 4);
    store<u32>(entry, code);
    store<usize>(entry, fillAccepted(set == 0 ? allocate(words << 3) : set, code), 4);
  }
  return load<usize>(entry, 4);
}

function fillAccepted(set: usize, code: u32): usize {
  if (set == 0) return seen; // there is no memory: any set will do, the record is given up
  memory.fill(set, 0, words << 3);
  let lastSet: u32 = layout.NONE; // programs repeat their sets
  let isIn = false;
  for (let pc: usize = 0; pc < instructionCount; pc++) {
    const instruction = instructionAt(pc);
    const operand = instruction >>> 8;
    const op = instruction & 0xff;
    if (op == layout.RUN_CHAR) {
      if (operand == code) addBit(set, pc);
    } else if (op == layout.RUN_SET || op == layout.RUN_SKIP) {
      if (operand != lastSet) isIn = isInSet(operand, code);
      lastSet = operand;
      if (isIn) addBit(set, pc);
    }
  }
  takeSteps(instructionCount * 4);
  return set;
}
