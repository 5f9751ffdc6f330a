// Which steps can a record still meet? A step needs a gate (one value of one field), a needle (a literal
// in one field's text), both, or neither. Gates open while the record is scanned. Then the texts that an
// open gate needs are searched for needles, each once for all rules. The steps that remain are candidates,
// which `condition` tests.
import * as layout from './layout';
import { fieldText, fieldTextSize, fieldType, fieldValue } from './record';

const FOLD_WORD: u64 = <u64>layout.FOLD_BYTE * 0x0101010101010101;
const FOLD_LONG: u32 = <u32>layout.FOLD_BYTE * 0x01010101;
const FOLD_SHORT: u32 = <u32>layout.FOLD_BYTE * 0x0101;

let ruleset: usize = 0;
let openGates: usize = 0; // u32 each, gate 0 first
let openCount: u32 = 0;
let gatesLeft: u32 = 0; // gate fields that the scan has not met yet
let indexMask: u32 = 0; // needle indexes to search
let needlesSeen: usize = 0; // u32 each: the epoch in which it was last seen
let candidates: usize = 0; // u64 words, a bit for each step
let lowWord: u32 = 0; // the words that may hold a bit
let highWord: u32 = 0;
let anyCandidate: bool = false;
let ungated: bool = false;
let epoch: u32 = 0;

export function placeCandidates(base: usize, at: usize): usize {
  ruleset = base;
  openGates = at;
  at += ((<usize>load<u32>(base, layout.HEADER_GATE_FIELD_COUNT) + 2) & ~1) << 2;
  needlesSeen = at;
  at += ((<usize>load<u32>(base, layout.HEADER_NEEDLE_COUNT) + 1) & ~1) << 2;
  candidates = at;
  at += ((<usize>load<u32>(base, layout.HEADER_STEP_COUNT) + 63) >>> 6) << 3;
  ungated = load<u32>(base, layout.HEADER_UNREJECTABLE_COUNT) != 0;
  return at;
}

/** `now` is a number that no earlier record had. */
export function beginCandidates(now: u32): void {
  epoch = now;
  gatesLeft = load<u32>(ruleset, layout.HEADER_GATE_FIELD_COUNT);
  indexMask = load<u32>(ruleset, layout.HEADER_ALWAYS_MASK);
  store<u32>(openGates, 0);
  openCount = 1;
  anyCandidate = false;
  const count = load<u32>(ruleset, layout.HEADER_ALWAYS_COUNT);
  if (count) addCandidates(load<u32>(ruleset, layout.HEADER_ALWAYS_OFFSET), count);
}

/** Notes a field with gates that the scan has found, and the one that its value opens. True when no step can match any more. */
export function noteField(field: u32): bool {
  gatesLeft--;
  const value = fieldValue(field);
  if (value != 1) {
    const gate = load<u32>(ruleset + value, layout.VALUE_GATE);
    if (gate != 0) enter(gate);
  }
  return gatesLeft == 0 && openCount == 1 && !ungated;
}

function enter(gate: u32): void {
  const entry = ruleset + load<u32>(ruleset, layout.HEADER_GATES_OFFSET) + <usize>gate * layout.GATE_SIZE;
  store<u32>(openGates + ((<usize>openCount) << 2), gate);
  openCount++;
  indexMask |= load<u32>(entry, layout.GATE_INDEX_MASK);
  const count = load<u32>(entry, layout.GATE_STEP_COUNT);
  if (count) addCandidates(load<u32>(entry, layout.GATE_STEPS_OFFSET), count);
}

function addCandidates(stepsOffset: u32, count: u32): void {
  const steps = ruleset + stepsOffset;
  for (let i: u32 = 0; i < count; i++) addCandidate(load<u32>(steps + ((<usize>i) << 2)));
}

function addCandidate(step: u32): void {
  const word = step >>> 6;
  if (!anyCandidate) {
    anyCandidate = true;
    lowWord = word;
    highWord = word;
  }
  lowWord = min(lowWord, word);
  highWord = max(highWord, word);
  const at = candidates + ((<usize>word) << 3);
  store<u64>(at, load<u64>(at) | ((<u64>1) << ((<u64>step) & 63)));
}

/** Searches the texts for needles, once the scan is over. */
export function findNeedles(): void {
  const count = load<u32>(ruleset, layout.HEADER_INDEX_COUNT);
  const indexes = ruleset + load<u32>(ruleset, layout.HEADER_INDEXES_OFFSET);
  for (let i: u32 = 0; i < count; i++) {
    const index = indexes + <usize>i * layout.INDEX_SIZE;
    if (
      (indexMask & (1 << min(i, layout.INDEX_MASK_BITS - 1))) != 0 &&
      fieldType(load<u32>(index, layout.INDEX_FIELD)) == layout.TYPE_STRING
    ) {
      searchText(index);
    }
  }
}

function searchText(index: usize): void {
  const field = load<u32>(index, layout.INDEX_FIELD);
  const text = fieldText(field);
  const size = fieldTextSize(field);
  const gramSize = load<u32>(index, layout.INDEX_GRAM_SIZE);
  if (size < gramSize) return;
  const last = text + size - gramSize;
  const step = load<u32>(index, layout.INDEX_STEP);
  const shift = load<u32>(index, layout.INDEX_SHIFT);
  const heads = ruleset + load<u32>(index, layout.INDEX_HEADS_OFFSET);
  if (gramSize == layout.GRAM_SIZE_LONG) {
    for (let at = text; at <= last; at += step) {
      const bucket = ((load<u32>(at) | FOLD_LONG) * layout.GRAM_FACTOR) >>> shift;
      const head = load<u16>(heads + ((<usize>bucket) << 1));
      if (head != 0) checkGrams(index, head - 1, at);
    }
  } else {
    for (let at = text; at <= last; at += step) {
      const bucket = (((<u32>load<u16>(at)) | FOLD_SHORT) * layout.GRAM_FACTOR) >>> shift;
      const head = load<u16>(heads + ((<usize>bucket) << 1));
      if (head != 0) checkGrams(index, head - 1, at);
    }
  }
}

/** Checks the needles that have a gram in this bucket. Bytes outside the text may be compared too: no needle is missed. */
function checkGrams(index: usize, first: u32, at: usize): void {
  const needles = ruleset + load<u32>(index, layout.INDEX_NEEDLES_OFFSET);
  const seen = needlesSeen + ((<usize>load<u32>(index, layout.INDEX_FIRST_NEEDLE)) << 2);
  let gram = ruleset + load<u32>(index, layout.INDEX_GRAMS_OFFSET) + <usize>first * layout.GRAM_SIZE;
  for (;;) {
    const flags = <u32>load<u8>(gram, layout.GRAM_FLAGS);
    const word = load<u64>(at - load<u8>(gram, layout.GRAM_BACK)) | FOLD_WORD;
    let id = <u32>load<u16>(gram, layout.GRAM_NEEDLE);
    if (flags & layout.GRAM_IS_GROUP) {
      const count = id;
      id = findInGroup(needles, gram + layout.GRAM_SIZE, count, word);
      gram += <usize>count * layout.GRAM_SIZE;
    }
    const needle = needles + <usize>id * layout.NEEDLE_SIZE;
    if (
      (word & load<u64>(needle, layout.NEEDLE_MASK)) == load<u64>(needle, layout.NEEDLE_WORD) &&
      load<u32>(seen + ((<usize>id) << 2)) != epoch
    ) {
      store<u32>(seen + ((<usize>id) << 2), epoch);
      addSteps(needle);
    }
    if (flags & layout.GRAM_IS_LAST) return;
    gram += layout.GRAM_SIZE;
  }
}

/** The needle of a group that may be this word: the first one that is not below it, or the last. */
function findInGroup(needles: usize, group: usize, count: u32, word: u64): u32 {
  word &= load<u64>(needles + <usize>load<u16>(group) * layout.NEEDLE_SIZE, layout.NEEDLE_MASK);
  let low: u32 = 0;
  let high = count - 1;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const id = <usize>load<u16>(group + <usize>middle * layout.GRAM_SIZE);
    if (load<u64>(needles + id * layout.NEEDLE_SIZE, layout.NEEDLE_WORD) < word) low = middle + 1;
    else high = middle;
  }
  return load<u16>(group + <usize>low * layout.GRAM_SIZE);
}

/** Makes candidates of a needle's steps whose gate is open. */
function addSteps(needle: usize): void {
  const pairs = ruleset + load<u32>(needle, layout.NEEDLE_STEPS_OFFSET);
  const count = load<u32>(needle, layout.NEEDLE_STEP_COUNT);
  for (let i: u32 = 0; i < openCount; i++) {
    const gate = load<u32>(openGates + ((<usize>i) << 2));
    for (let pair = lowerBound(pairs, count, gate); pair < count; pair++) {
      const entry = pairs + <usize>pair * layout.WAITING_SIZE;
      if (load<u32>(entry, layout.WAITING_GATE) != gate) break;
      addCandidate(load<u32>(entry, layout.WAITING_STEP));
    }
  }
}

/** The index of the first pair whose gate is not below `gate`. */
function lowerBound(pairs: usize, count: u32, gate: u32): u32 {
  let low: u32 = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (load<u32>(pairs + <usize>middle * layout.WAITING_SIZE, layout.WAITING_GATE) < gate) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Takes the lowest candidate, in the order of the rules file; -1 when none is left. */
export function nextCandidate(): i32 {
  if (!anyCandidate) return -1;
  while (lowWord <= highWord) {
    const at = candidates + ((<usize>lowWord) << 3);
    const word = load<u64>(at);
    if (word != 0) {
      store<u64>(at, word & (word - 1));
      return <i32>((lowWord << 6) + <u32>ctz(word));
    }
    lowWord++;
  }
  anyCandidate = false;
  return -1;
}

/** Forgets the candidates of a record that was given up. */
export function dropCandidates(): void {
  if (anyCandidate) {
    memory.fill(candidates + ((<usize>lowWord) << 3), 0, (<usize>(highWord - lowWord + 1)) << 3);
    anyCandidate = false;
  }
}
