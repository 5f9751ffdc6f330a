// A pattern's program, run in one of several ways that have the same answer: leftmost-first, as in RE2 and Go.
// `backtrack` tries alternatives in order. Its first run has a fixed number of steps per byte: most searches end within
// it. For one that does not, `lazy` says whether there is a match at all. A second run finds where the match is: it marks
// every (split, position) that it has tried, so that none is tried twice (RE2's BitState).
// That needs a bit for each pair, so longer texts go to `lockstep`, which keeps all threads at one position (Pike's VM).
// All are linear in the text, and all use the record's steps.
import * as layout from './layout';
import { clearWords, findByte } from './bytes';
import { codePoint } from './json';
import { beginSearch, endSearch, takeSteps } from './budget';
import { lazyMatches } from './lazy';
import { allocate, arenaTop, isExhausted, release, resize } from './memory';
import { isInSet, isWordByte, sequenceSizeOf, setAt, useSets } from './program';

const JOB_SIZE = 8; // pc, position; or slot | RESTORE, old value
const RESTORE: u32 = 0x80000000;

// What one search works on.
let program: usize = 0;
let instructionCount: usize = 0;
let textStart: usize = 0;
let textEnd: usize = 0;
let slots: usize = 0; // addresses in the text, 0: not set
let slotCount: u32 = 0;
let matchStart: usize = 0;
let matchEnd: usize = 0;

const INSTRUCTION_STEPS: usize = 3; // what an instruction costs, in steps
const THREAD_STEPS: usize = 16; // what a thread costs at a position, without its slots

const FUEL_PER_BYTE: usize = 4; // a pattern with one `.*` reads a text forward and back
const FUEL_MIN: usize = 64;
const FUEL_MAX: usize = 0x40000; // a split may leave a job to do: 2 MiB of them

let fuel: usize = 0; // splits and skipped bytes that `backtrack` may still go through unmarked; 0: none are left
let visited: usize = 0; // a bit for each (instruction, position); 0: nothing is marked
let jobs: usize = 0;
let jobCount: usize = 0;
let jobRoom: usize = 0;

/** Where the last match began; valid after `search` returned true. */
export function matchedFrom(): usize {
  return matchStart;
}

export function matchedTo(): usize {
  return matchEnd;
}

/**
 * Does the pattern record at `pattern` match any part of `at` … `end`? With `captures` not 0, finds the
 * leftmost-first match (`matchedFrom`, `matchedTo`) and writes the pattern's slots there, a pair of
 * addresses for each capture (0: it took no part).
 */
export function search(base: usize, pattern: usize, at: usize, end: usize, captures: usize): bool {
  useSets(base);
  program = base + load<u32>(pattern, layout.PATTERN_PROGRAM_OFFSET);
  instructionCount = load<u32>(pattern, layout.PATTERN_INSTRUCTION_COUNT);
  textStart = at;
  textEnd = end;
  slots = captures;
  slotCount = captures ? load<u32>(pattern, layout.PATTERN_SLOT_COUNT) : 0;
  clearSlots();
  const anchored = load<u32>(pattern, layout.PATTERN_ANCHORED) != 0;
  const firstByte = load<u32>(pattern, layout.PATTERN_FIRST_BYTE);
  const mark = arenaTop();
  beginSearch(end - at);
  const matched = run(anchored, firstByte);
  endSearch();
  release(mark);
  return matched;
}

function run(anchored: bool, firstByte: u32): bool {
  const mark = arenaTop();
  const size = textEnd - textStart;
  visited = 0;
  fuel = min(size * FUEL_PER_BYTE + FUEL_MIN, FUEL_MAX);
  const matched = backtrack(textStart, anchored, firstByte);
  release(mark);
  if (fuel != 0 || isExhausted()) return matched;
  // No match begins before this place: continue here, in a way that is sure to end.
  const start = matchStart;
  const isThere = lazyMatches(program, instructionCount, anchored, textStart, start, textEnd);
  release(mark);
  if (!isThere || slots == 0 || isExhausted()) return isThere && !isExhausted();
  clearSlots();
  fuel = FUEL_MIN; // not used any more
  const bits = <u64>instructionCount * <u64>(size + 1);
  if (bits > layout.BACKTRACK_BITS_MAX) return lockstep(start, anchored, firstByte);
  const visitedSize = ((<usize>bits + 63) >>> 6) << 3;
  visited = allocate(visitedSize);
  if (visited == 0) return false;
  memory.fill(visited, 0, visitedSize);
  takeSteps(visitedSize >>> 4);
  return backtrack(start, anchored, firstByte);
}

function clearSlots(): void {
  if (slotCount) clearWords(slots, (<usize>slotCount) << 2);
}

function isInSetAt(index: u32, at: usize): bool {
  return at < textEnd && isInSet(index, codePoint(at, sequenceSizeOf(load<u8>(at))));
}

/** The first address from `at` on whose code point is not in the set, or 0 when there is no fuel left to continue. */
function skipRun(index: u32, at: usize): usize {
  const bitmap = setAt(index) + layout.SET_BITMAP;
  const start = at;
  while (at < textEnd) {
    const code = <u32>load<u8>(at);
    if (code < 0x80) {
      if ((load<u32>(bitmap + <usize>((code >>> 5) << 2)) & (1 << (code & 31))) == 0) break;
      at++;
    } else {
      const size = sequenceSizeOf(code);
      if (!isInSet(index, codePoint(at, size))) break;
      at += size;
    }
  }
  takeSteps(at - start);
  return takeFuel(at - start) ? at : 0;
}

/**
 * Like `skipRun`, but 0 when a part of the run was read before: it would end at the same place, and what comes
 * there has been tried. Marking each position keeps this linear.
 */
function skipMarked(index: u32, pc: usize, at: usize): usize {
  while (true) {
    takeSteps(INSTRUCTION_STEPS);
    if (!tryFirst(pc, at)) return 0;
    if (at == textEnd) return at;
    const size = sequenceSizeOf(load<u8>(at));
    if (!isInSet(index, codePoint(at, size))) return at;
    at += size;
  }
}

function isWord(at: usize): bool {
  if (at < textStart || at >= textEnd) return false;
  return isWordByte(load<u8>(at));
}

function holds(assertion: u32, at: usize): bool {
  switch (assertion) {
    case layout.ASSERT_TEXT_START:
      return at == textStart;
    case layout.ASSERT_TEXT_END:
      return at == textEnd;
    case layout.ASSERT_LINE_START:
      return at == textStart || load<u8>(at - 1) == 0x0a;
    case layout.ASSERT_LINE_END:
      return at == textEnd || load<u8>(at) == 0x0a;
    default:
      return (isWord(at - 1) != isWord(at)) == (assertion == layout.ASSERT_WORD_BOUNDARY);
  }
}

// ── Backtracking ────────────────────────────────────────────────────────────────────────────────────

/** Tries one start after the other, from `start` on. The last one that was tried is in `matchStart`. */
function backtrack(start: usize, anchored: bool, firstByte: u32): bool {
  if (!openJobs()) return false;
  while (true) {
    if (firstByte != <u32>-1) {
      const from = start;
      start = findByte(start, textEnd, firstByte);
      takeSteps((start - from) >>> 3);
      if (start == textEnd) return false;
    }
    matchStart = start;
    if (backtrackFrom(start)) return true;
    if (anchored || start == textEnd || isExhausted() || fuel == 0) return false;
    start += sequenceSizeOf(load<u8>(start));
  }
}

function openJobs(): bool {
  jobRoom = 64;
  jobs = allocate(jobRoom * JOB_SIZE);
  return jobs != 0;
}

/** False when what comes at this place has been tried, or there is no fuel left to try it. */
function tryFirst(pc: usize, at: usize): bool {
  if (visited == 0) return takeFuel(1);
  const bit = pc * (textEnd - textStart + 1) + (at - textStart);
  const byte = visited + (bit >>> 3);
  const mask: u32 = 1 << ((<u32>bit) & 7);
  const seen = <u32>load<u8>(byte);
  if (seen & mask) return false;
  store<u8>(byte, seen | mask);
  return true;
}

function takeFuel(size: usize): bool {
  fuel = fuel > size ? fuel - size : 0;
  return fuel != 0;
}

function pushJob(first: u32, second: usize): bool {
  if (jobCount == jobRoom) {
    jobRoom <<= 1;
    if (!resize(jobs, jobRoom * JOB_SIZE)) return false;
  }
  const job = jobs + jobCount * JOB_SIZE;
  store<u32>(job, first);
  store<usize>(job, second, 4);
  jobCount++;
  return true;
}

/** Tries the program at one start. Every loop passes a split, and each split is tried once per position. */
function backtrackFrom(start: usize): bool {
  jobCount = 0;
  pushJob(0, start);
  while (jobCount != 0) {
    jobCount--;
    const job = jobs + jobCount * JOB_SIZE;
    const first = load<u32>(job);
    let at = load<usize>(job, 4);
    if (first & RESTORE) {
      store<usize>(slots + ((<usize>(first & ~RESTORE)) << 2), at);
      continue;
    }
    let pc = <usize>first;
    let alive = true;
    let steps: usize = 0;
    while (alive) {
      steps++;
      const instruction = load<u32>(program + pc * layout.INSTRUCTION_SIZE);
      const operand = instruction >>> 8;
      switch (instruction & 0xff) {
        case layout.RUN_CHAR:
        case layout.RUN_SET: {
          if (at == textEnd) {
            alive = false;
            break;
          }
          let code = <u32>load<u8>(at);
          let size: usize = 1;
          if (code >= 0x80) {
            size = sequenceSizeOf(code);
            code = codePoint(at, size);
          }
          if ((instruction & 0xff) == layout.RUN_CHAR ? code != operand : !isInSet(operand, code)) {
            alive = false;
            break;
          }
          at += size;
          pc++;
          break;
        }
        case layout.RUN_SKIP:
          at = visited == 0 ? skipRun(operand, at) : skipMarked(operand, pc, at);
          alive = at != 0;
          pc++;
          break;
        case layout.RUN_SPLIT:
          alive = tryFirst(pc, at) && pushJob(operand, at);
          pc++;
          break;
        case layout.RUN_SPLIT_AWAY:
          alive = tryFirst(pc, at) && pushJob(<u32>pc + 1, at);
          pc = operand;
          break;
        case layout.RUN_JUMP:
          pc = operand;
          break;
        case layout.RUN_SAVE:
          if (slotCount) {
            const slot = slots + ((<usize>operand) << 2);
            alive = pushJob(operand | RESTORE, load<usize>(slot));
            store<usize>(slot, at);
          }
          pc++;
          break;
        case layout.RUN_ASSERT:
          alive = holds(operand, at);
          pc++;
          break;
        case layout.RUN_MATCH:
          matchEnd = at;
          takeSteps(steps * INSTRUCTION_STEPS);
          return true;
        default: // RUN_FAIL
          alive = false;
      }
    }
    takeSteps(steps * INSTRUCTION_STEPS);
    if (isExhausted() || (visited == 0 && !takeFuel(steps >>> 2))) return false;
  }
  return false;
}

// ── Lockstep ────────────────────────────────────────────────────────────────────────────────────────
// A list of threads is a sparse set (Briggs and Torczon): dense[0 … count) are pcs in order of priority,
// and pc is in it when sparse[pc] < count and dense[sparse[pc]] == pc. Each pc has a row of slots, one
// more than the pattern's, for where its match began.

let rowSize: usize = 0;
let listSize: usize = 0;

function sparseOf(list: usize): usize {
  return list + (instructionCount << 2);
}

function rowsOf(list: usize): usize {
  return list + (instructionCount << 3);
}

function lockstep(start: usize, anchored: bool, firstByte: u32): bool {
  rowSize = (<usize>(slotCount + 1)) << 2;
  listSize = (instructionCount << 3) + instructionCount * rowSize;
  let current = allocate(listSize);
  let next = allocate(listSize);
  const row = allocate(rowSize);
  if (!openJobs() || isExhausted()) return false;
  // Zeroed once: a stale index is caught by the check against dense, whatever it is below the count.
  memory.fill(current, 0, listSize);
  memory.fill(next, 0, listSize);
  let currentCount: u32 = 0;
  let matched = false;
  let at = start;
  for (;;) {
    if (currentCount == 0) {
      if (matched || (anchored && at != textStart)) break;
      if (firstByte != <u32>-1) {
        const from = at;
        at = findByte(at, textEnd, firstByte);
        takeSteps((at - from) >>> 3);
        if (at == textEnd) break;
      }
    }
    if (!matched && (!anchored || at == textStart)) {
      memory.fill(row, 0, rowSize);
      store<usize>(row + ((<usize>slotCount) << 2), at);
      currentCount = addThreads(current, currentCount, 0, at, row);
    }
    takeSteps(<usize>currentCount * (THREAD_STEPS + slotCount) + INSTRUCTION_STEPS);
    if (isExhausted()) return false;
    const size = at < textEnd ? sequenceSizeOf(load<u8>(at)) : 1;
    const code: u32 = at < textEnd ? codePoint(at, size) : 0;
    let nextCount: u32 = 0;
    for (let i: u32 = 0; i < currentCount; i++) {
      const pc = <usize>load<u32>(current + ((<usize>i) << 2));
      const instruction = load<u32>(program + pc * layout.INSTRUCTION_SIZE);
      const op = instruction & 0xff;
      const threadRow = rowsOf(current) + pc * rowSize;
      if (op == layout.RUN_MATCH) {
        matched = true;
        matchEnd = at;
        matchStart = load<usize>(threadRow + ((<usize>slotCount) << 2));
        if (slots == 0) return true; // the caller asks for yes or no only
        memory.copy(slots, threadRow, (<usize>slotCount) << 2);
        break; // threads of lower priority end here
      }
      if (at == textEnd) continue;
      if (
        op == layout.RUN_CHAR
          ? code == instruction >>> 8
          : (op == layout.RUN_SET || op == layout.RUN_SKIP) && isInSet(instruction >>> 8, code)
      ) {
        memory.copy(row, threadRow, rowSize);
        nextCount = addThreads(next, nextCount, op == layout.RUN_SKIP ? pc : pc + 1, at + size, row);
      }
    }
    if (at == textEnd || isExhausted()) break;
    at += size;
    const swap = current;
    current = next;
    next = swap;
    currentCount = nextCount;
  }
  return matched && !isExhausted();
}

/** Adds the threads that `pc` leads to without reading, in order of priority, each with a copy of `row`. */
function addThreads(list: usize, count: u32, pc: usize, at: usize, row: usize): u32 {
  const sparse = sparseOf(list);
  jobCount = 0;
  pushJob(<u32>pc, 0);
  while (jobCount != 0) {
    jobCount--;
    const job = jobs + jobCount * JOB_SIZE;
    const first = load<u32>(job);
    if (first & RESTORE) {
      store<usize>(row + ((<usize>(first & ~RESTORE)) << 2), load<usize>(job, 4));
      continue;
    }
    pc = first;
    for (;;) {
      const place = load<u32>(sparse + (pc << 2));
      if (place < count && <usize>load<u32>(list + ((<usize>place) << 2)) == pc) break;
      store<u32>(sparse + (pc << 2), count);
      store<u32>(list + ((<usize>count) << 2), <u32>pc);
      count++;
      const instruction = load<u32>(program + pc * layout.INSTRUCTION_SIZE);
      const operand = instruction >>> 8;
      const op = instruction & 0xff;
      if (op == layout.RUN_SPLIT) {
        if (!pushJob(operand, 0)) return count;
        pc++;
      } else if (op == layout.RUN_SPLIT_AWAY) {
        if (!pushJob(<u32>pc + 1, 0)) return count;
        pc = operand;
      } else if (op == layout.RUN_JUMP) {
        pc = operand;
      } else if (op == layout.RUN_SAVE) {
        if (slotCount) {
          const slot = row + ((<usize>operand) << 2);
          if (!pushJob(operand | RESTORE, load<usize>(slot))) return count;
          store<usize>(slot, at);
        }
        pc++;
      } else if (op == layout.RUN_ASSERT) {
        if (!holds(operand, at)) break;
        pc++;
      } else if (op == layout.RUN_SKIP && !isInSetAt(operand, at)) {
        pc++; // there is nothing to skip
      } else {
        // Reads a code point, or matches.
        if (op != layout.RUN_FAIL) memory.copy(rowsOf(list) + pc * rowSize, row, rowSize);
        break;
      }
    }
  }
  return count;
}
