// What the module remembers between records: cool-downs, windows, sequences, absences, and the rate cap.
// One region of bounded size (layout.ts draws it), in event time. A full table gives up the key that was
// seen longest ago and counts it; what a cool-down had held back for it is told by another alert.
//
// Records come late, twice, and from clocks that are wrong. So nothing here asks whether time "moves on":
// a cool-down and a window each remember two eras, stretches of time that lie far apart. A record that
// claims to be from next year opens an era of its own and leaves the present one as it was.
import {
  DISTINCT_COUNT_MAX,
  HEADER_HASH,
  HEADER_KEY_COUNT,
  HEADER_RATE_COUNT,
  RATE_SECONDS,
  SLOT_CHAIN,
  SLOT_DATA,
  SLOT_DATA_SIZE,
  SLOT_KEY,
  SLOT_NEWER,
  SLOT_OLDER,
  SLOT_SIZE,
  SLOT_USE,
  STATE_CLOCK,
  STATE_EVICTED_COUNT,
  STATE_FORMAT,
  STATE_HEADER_SIZE,
  STATE_HEAD_BITS,
  STATE_KEY_COUNT,
  STATE_LEAP_COUNT,
  STATE_LEAP_TIME,
  STATE_NEWEST,
  STATE_NEXT_DUE,
  STATE_OLDEST,
  STATE_OTHERS,
  STATE_RULESET_HASH,
  STATE_SECONDS,
  STATE_USED_COUNT,
  STATE_VERSION,
  USE_ABSENCE,
  USE_COOL_DOWN,
  USE_DISTINCT,
  USE_LABELS,
  USE_SEQUENCE,
  USE_WINDOW,
  WINDOW_SLICES,
} from './layout';

/** No time. */
export const NEVER: i64 = i64.MIN_VALUE;
const HASH_FACTOR: u64 = 0x9e3779b97f4a7c15;

let state: usize = 0;
let heads: usize = 0;
let slots: usize = 0;
let shift: u64 = 63;
let rateCount: u32 = 0;

/** Takes the region at `at` and gives the address behind it. */
export function placeState(base: usize, at: usize): usize {
  const keyCount = load<u32>(base, HEADER_KEY_COUNT);
  const bits = <u32>max(1, 32 - <i32>clz<u32>(max(keyCount, 2) - 1));
  state = at;
  heads = at + STATE_HEADER_SIZE;
  slots = heads + (<usize>4 << bits);
  shift = 64 - <u64>bits;
  rateCount = load<u32>(base, HEADER_RATE_COUNT);
  return keyCount == 0 ? heads : slots + <usize>keyCount * SLOT_SIZE;
}

/** Makes the region empty. */
export function clearState(base: usize): void {
  const keyCount = load<u32>(base, HEADER_KEY_COUNT);
  memory.fill(state, 0, keyCount == 0 ? <usize>STATE_HEADER_SIZE : slots - state);
  store<u32>(state, STATE_VERSION, STATE_FORMAT);
  store<u32>(state, keyCount, STATE_KEY_COUNT);
  store<u64>(state, load<u64>(base, HEADER_HASH), STATE_RULESET_HASH);
  store<u32>(state, 64 - <u32>shift, STATE_HEAD_BITS);
  store<i64>(state, NEVER, STATE_CLOCK);
  store<i64>(state, i64.MAX_VALUE, STATE_NEXT_DUE);
}

export function stateAddress(): usize {
  return state;
}

/** Bytes of the region that are in use: a snapshot is these. */
export function stateUsedSize(): usize {
  if (load<u32>(state, STATE_KEY_COUNT) == 0) return STATE_HEADER_SIZE;
  return slots + <usize>load<u32>(state, STATE_USED_COUNT) * SLOT_SIZE - state;
}

/** True when a region of these first bytes and this size was written by the same rules and format. */
export function canRestore(base: usize, snapshot: usize, size: usize): bool {
  if (size < STATE_HEADER_SIZE || load<u32>(snapshot, STATE_FORMAT) != STATE_VERSION) return false;
  if (load<u64>(snapshot, STATE_RULESET_HASH) != load<u64>(base, HEADER_HASH)) return false;
  const keyCount = load<u32>(base, HEADER_KEY_COUNT);
  const usedCount = load<u32>(snapshot, STATE_USED_COUNT);
  if (load<u32>(snapshot, STATE_KEY_COUNT) != keyCount || usedCount > keyCount) return false;
  return size == (keyCount == 0 ? <usize>STATE_HEADER_SIZE : slots + <usize>usedCount * SLOT_SIZE - state);
}

export function evictedCount(): u64 {
  return load<u64>(state, STATE_EVICTED_COUNT);
}

// ── The table ───────────────────────────────────────────────────────────────────────────────────────

function slotAt(link: u32): usize {
  return slots + <usize>(link - 1) * SLOT_SIZE;
}

function linkOf(slot: usize): u32 {
  return <u32>((slot - slots) / SLOT_SIZE) + 1;
}

/** One key for each rule, use, part and label set. */
function keyOf(rule: u32, use: u32, part: u32, hash: u64): u64 {
  let key = (hash ^ (((<u64>rule << 3) | <u64>use) << 32) ^ <u64>part) * HASH_FACTOR;
  key ^= key >>> 32;
  return key * HASH_FACTOR;
}

/** The slot of a key, seen now, or 0. */
function find(key: u64): usize {
  let link = load<u32>(heads + (<usize>(key >>> shift) << 2));
  while (link != 0) {
    const slot = slotAt(link);
    if (load<u64>(slot, SLOT_KEY) == key) {
      touch(slot, link);
      return slot;
    }
    link = load<u32>(slot, SLOT_CHAIN);
  }
  return 0;
}

/** The slot of a key, with empty data when it is new; 0 only when the ruleset asked for no keys. */
function findOrAdd(rule: u32, use: u32, part: u32, hash: u64): usize {
  if (load<u32>(state, STATE_KEY_COUNT) == 0) return 0;
  const key = keyOf(rule, use, part, hash);
  const known = find(key);
  if (known != 0) return known;
  const used = load<u32>(state, STATE_USED_COUNT);
  let link: u32;
  if (used < load<u32>(state, STATE_KEY_COUNT)) {
    link = used + 1;
    store<u32>(state, link, STATE_USED_COUNT);
  } else {
    link = load<u32>(state, STATE_OLDEST);
    evict(slotAt(link), link);
  }
  const slot = slotAt(link);
  const head = heads + (<usize>(key >>> shift) << 2);
  memory.fill(slot, 0, SLOT_SIZE);
  store<u64>(slot, key, SLOT_KEY);
  store<u32>(slot, load<u32>(head), SLOT_CHAIN);
  store<u32>(slot, (rule << 3) | use, SLOT_USE);
  store<u32>(head, link);
  pushNewest(slot, link);
  return slot;
}

/** Counts a key that the state could not keep. */
export function countEvicted(): void {
  store<u64>(state, load<u64>(state, STATE_EVICTED_COUNT) + 1, STATE_EVICTED_COUNT);
}

function evict(slot: usize, link: u32): void {
  countEvicted();
  if ((load<u32>(slot, SLOT_USE) & 7) == USE_COOL_DOWN) tellElsewhere(load<u64>(slot, COOL_SUPPRESSED));
  let at = heads + (<usize>(load<u64>(slot, SLOT_KEY) >>> shift) << 2);
  while (load<u32>(at) != link) at = slotAt(load<u32>(at)) + SLOT_CHAIN;
  store<u32>(at, load<u32>(slot, SLOT_CHAIN));
  unlink(slot);
}

function unlink(slot: usize): void {
  const newer = load<u32>(slot, SLOT_NEWER);
  const older = load<u32>(slot, SLOT_OLDER);
  if (newer != 0) store<u32>(slotAt(newer), older, SLOT_OLDER);
  else store<u32>(state, older, STATE_NEWEST);
  if (older != 0) store<u32>(slotAt(older), newer, SLOT_NEWER);
  else store<u32>(state, newer, STATE_OLDEST);
}

function pushNewest(slot: usize, link: u32): void {
  const older = load<u32>(state, STATE_NEWEST);
  store<u32>(slot, 0, SLOT_NEWER);
  store<u32>(slot, older, SLOT_OLDER);
  if (older != 0) store<u32>(slotAt(older), link, SLOT_NEWER);
  else store<u32>(state, link, STATE_OLDEST);
  store<u32>(state, link, STATE_NEWEST);
}

function touch(slot: usize, link: u32): void {
  if (load<u32>(state, STATE_NEWEST) == link) return;
  unlink(slot);
  pushNewest(slot, link);
}

// ── Cool-down ───────────────────────────────────────────────────────────────────────────────────────
// Two eras of alerts, the one used last in front: [first, last] i64 each; and what was held back since.

const ERA_SIZE = 16;
const COOL_SUPPRESSED = SLOT_DATA + 2 * ERA_SIZE; // u64
// Alerts further apart than this are no longer one era. An era's length does not matter, only its ends do.
const ERA_GAP_MS: i64 = 24 * 3600 * 1000;

/** The cool-down of a label set, or 0 when the state holds no keys. */
export function coolDownOf(rule: u32, labelsHash: u64): usize {
  const slot = findOrAdd(rule, USE_COOL_DOWN, 0, labelsHash);
  if (slot != 0 && load<i64>(slot, SLOT_DATA + 8) == 0 && load<i64>(slot, SLOT_DATA) == 0) {
    for (let i: usize = 0; i < 4; i++) store<i64>(slot + (i << 3), NEVER, SLOT_DATA);
  }
  return slot;
}

/** Is an alert of this label set too close to one that was sent? Late records are, when they fall into an era. */
export function isCooling(slot: usize, time: i64, realertMs: i64): bool {
  return isInEra(slot + SLOT_DATA, time, realertMs) || isInEra(slot + SLOT_DATA + ERA_SIZE, time, realertMs);
}

function isInEra(era: usize, time: i64, realertMs: i64): bool {
  const first = load<i64>(era);
  return first != NEVER && time > first - realertMs && time < load<i64>(era, 8) + realertMs;
}

/** Remembers that an alert was sent. */
export function startCooling(slot: usize, time: i64, realertMs: i64): void {
  const front = slot + SLOT_DATA;
  const reach = max(ERA_GAP_MS, 2 * realertMs);
  if (follows(front, time, reach)) {
    store<i64>(front, time, 8);
    return;
  }
  const back = front + ERA_SIZE;
  const extends_ = follows(back, time, reach);
  const first = extends_ ? load<i64>(back) : time;
  memory.copy(back, front, ERA_SIZE);
  store<i64>(front, first);
  store<i64>(front, time, 8);
}

function follows(era: usize, time: i64, reach: i64): bool {
  const last = load<i64>(era, 8);
  return last != NEVER && time >= last && time - last <= reach;
}

export function addSuppressed(slot: usize): void {
  store<u64>(slot, load<u64>(slot, COOL_SUPPRESSED) + 1, COOL_SUPPRESSED);
}

/** What was held back since the last alert of this label set; it counts as told. */
export function takeSuppressed(slot: usize): u64 {
  const count = load<u64>(slot, COOL_SUPPRESSED);
  store<u64>(slot, 0, COOL_SUPPRESSED);
  return count;
}

/** What is held back and not yet told, of one rule. */
export function suppressedOf(rule: u32): u64 {
  let count: u64 = 0;
  const used = load<u32>(state, STATE_USED_COUNT);
  for (let link: u32 = 1; link <= used; link++) {
    const slot = slotAt(link);
    if (load<u32>(slot, SLOT_USE) == ((rule << 3) | USE_COOL_DOWN)) count += load<u64>(slot, COOL_SUPPRESSED);
  }
  return count;
}

/** Counts matches that no label set of their own will tell of: the next alert of any tells of them. */
export function tellElsewhere(count: u64): void {
  store<u64>(state, load<u64>(state, STATE_OTHERS) + count, STATE_OTHERS);
}

export function untoldElsewhere(): u64 {
  return load<u64>(state, STATE_OTHERS);
}

export function takeElsewhere(): u64 {
  const count = load<u64>(state, STATE_OTHERS);
  store<u64>(state, 0, STATE_OTHERS);
  return count;
}

// ── The rate cap ────────────────────────────────────────────────────────────────────────────────────

/** Takes one of the alerts that may be sent in the event time's second; false when they are used up. */
export function takeRate(time: i64): bool {
  if (rateCount == 0) return true;
  const second = <u32>(time / 1000);
  const entry = state + STATE_SECONDS + (<usize>(second % RATE_SECONDS) << 3);
  const count = load<u32>(entry) == second ? load<u32>(entry, 4) : 0;
  if (count >= rateCount) return false;
  store<u32>(entry, second);
  store<u32>(entry, count + 1, 4);
  return true;
}

// ── Windows ─────────────────────────────────────────────────────────────────────────────────────────
// Time is cut into slices of a seventh of the window. An era has the number of its newest slice (u32,
// compared modulo 2^32) and the counts of that slice and the seven before (u16, slice number modulo 8).

const WINDOW_NEWEST = SLOT_DATA;
const WINDOW_COUNTS = SLOT_DATA + 4;
const WINDOW_ERA_SIZE: usize = 4 + 2 * WINDOW_SLICES;
const SLICE_COUNT_MAX: u32 = 0xffff;

function sliceOf(time: i64, windowMs: i64): u32 {
  return <u32>(time / ((windowMs + WINDOW_SLICES - 2) / (WINDOW_SLICES - 1)));
}

/** Adds a match to the window of a key and gives the count of the window, this match included. */
export function countInWindow(rule: u32, hash: u64, time: i64, windowMs: i64): u64 {
  const slot = findOrAdd(rule, USE_WINDOW, 0, hash);
  if (slot == 0) return 1;
  const slice = sliceOf(time, windowMs);
  if (!isNear(slice, load<u32>(slot, WINDOW_NEWEST))) {
    // Not the era used last: the other one comes to the front, begun anew unless the record belongs to it.
    swapEras(slot);
    if (!isNear(slice, load<u32>(slot, WINDOW_NEWEST))) {
      store<u32>(slot, slice, WINDOW_NEWEST);
      memory.fill(slot + WINDOW_COUNTS, 0, 2 * WINDOW_SLICES);
    }
  }
  const newest = load<u32>(slot, WINDOW_NEWEST);
  for (let next = newest + 1; <i32>(slice - next) >= 0; next++) store<u16>(countAt(slot, next), 0);
  if (<i32>(slice - newest) > 0) store<u32>(slot, slice, WINDOW_NEWEST);
  const count = countAt(slot, slice);
  if (load<u16>(count) < SLICE_COUNT_MAX) store<u16>(count, load<u16>(count) + 1);
  let sum: u64 = 0;
  for (let i: u32 = 0; i < <u32>WINDOW_SLICES; i++) sum += <u64>load<u16>(countAt(slot, i));
  return sum;
}

function countAt(slot: usize, slice: u32): usize {
  return slot + WINDOW_COUNTS + (<usize>(slice % WINDOW_SLICES) << 1);
}

function isNear(slice: u32, other: u32): bool {
  const distance = <i32>(slice - other);
  return distance > -WINDOW_SLICES && distance < WINDOW_SLICES;
}

function swapEras(slot: usize): void {
  const front = slot + SLOT_DATA;
  for (let i: usize = 0; i < WINDOW_ERA_SIZE; i += 4) {
    const word = load<u32>(front + i);
    store<u32>(front + i, load<u32>(front + i + WINDOW_ERA_SIZE));
    store<u32>(front + i + WINDOW_ERA_SIZE, word);
  }
}

// ── Distinct values in a window ─────────────────────────────────────────────────────────────────────
// Slots of a key, counted by `part`, each with five pairs of u32: a value's hash (never 0) and its slice.

const PAIRS: u32 = SLOT_DATA_SIZE / 8;
const PARTS_MAX: u32 = DISTINCT_COUNT_MAX / PAIRS;

/** Adds a value and gives how many different ones the window holds, at most DISTINCT_COUNT_MAX. */
export function countDistinct(rule: u32, hash: u64, value: u64, time: i64, windowMs: i64): u64 {
  const slice = sliceOf(time, windowMs);
  const wanted = <u32>(value ^ (value >>> 32)) | 1;
  let free: usize = 0; // the first pair that holds nothing of this window
  let known: bool = false;
  let count: u64 = 0;
  for (let part: u32 = 0; part < PARTS_MAX; part++) {
    const slot = known || free != 0 ? find(keyOf(rule, USE_DISTINCT, part, hash)) : findOrAdd(rule, USE_DISTINCT, part, hash);
    if (slot == 0) break;
    for (let i: u32 = 0; i < PAIRS; i++) {
      const pair = slot + SLOT_DATA + (<usize>i << 3);
      const isLive = load<u32>(pair) != 0 && isNear(slice, load<u32>(pair, 4));
      if (load<u32>(pair) == wanted && (isLive || free == 0) && !known) {
        known = true;
        if (!isLive || <i32>(slice - load<u32>(pair, 4)) > 0) store<u32>(pair, slice, 4);
        count++;
      } else if (isLive) {
        count++;
      } else if (free == 0) {
        free = pair;
      }
    }
  }
  if (!known && free != 0) {
    store<u32>(free, wanted);
    store<u32>(free, slice, 4);
    count++;
  }
  return count;
}

// ── Sequences ───────────────────────────────────────────────────────────────────────────────────────
// For each step but the last: when the chain began that reached it (i64, NEVER: none) and how much later
// it was reached (u32).

const CHAIN_SIZE = 12;

/** Tells that a record met a step; true when it completes the sequence. */
export function advanceSequence(rule: u32, hash: u64, step: u32, stepCount: u32, time: i64, windowMs: i64): bool {
  const slot = findOrAdd(rule, USE_SEQUENCE, 0, hash);
  if (slot == 0) return false;
  if (load<i64>(slot, SLOT_DATA) == 0) clearChains(slot);
  if (step == 0) {
    setChain(slot, 0, time, time);
    return false;
  }
  const before = slot + SLOT_DATA + <usize>(step - 1) * CHAIN_SIZE;
  const began = load<i64>(before);
  if (began == NEVER || time < began + <i64>load<u32>(before, 8) || time - began > windowMs) return false;
  if (step + 1 < stepCount) {
    setChain(slot, step, began, time);
    return false;
  }
  clearChains(slot);
  return true;
}

function setChain(slot: usize, step: u32, began: i64, time: i64): void {
  const chain = slot + SLOT_DATA + <usize>step * CHAIN_SIZE;
  store<i64>(chain, began);
  store<u32>(chain, <u32>(time - began), 8);
}

function clearChains(slot: usize): void {
  for (let i: u32 = 0; i < 3; i++) setChain(slot, i, NEVER, NEVER);
}

// ── Absence ─────────────────────────────────────────────────────────────────────────────────────────
// When the key was seen last (i64), since when it is missing (i64, NEVER: it is not), the size of its
// labels' values (u32), which lie in slots of their own, 40 bytes each.

const ABSENCE_SEEN = SLOT_DATA;
const ABSENCE_SINCE = SLOT_DATA + 8;
const ABSENCE_LABELS_SIZE = SLOT_DATA + 16;
const ABSENCE_HASH = SLOT_DATA + 24; // u64, of the labels

const LEAP_MS: i64 = 3600 * 1000; // a record further ahead than this is not believed at once
const LEAP_COUNT: u32 = 8; // so many in a row are

/** The stream has come to `time`, a record says. */
export function moveClock(time: i64): void {
  const clock = load<i64>(state, STATE_CLOCK);
  if (clock == NEVER || (time > clock && time - clock <= LEAP_MS)) {
    store<i64>(state, time, STATE_CLOCK);
    store<u32>(state, 0, STATE_LEAP_COUNT);
  } else if (time > clock) {
    const leap = load<i64>(state, STATE_LEAP_TIME);
    const near = time - leap <= LEAP_MS && leap - time <= LEAP_MS;
    const count = near ? load<u32>(state, STATE_LEAP_COUNT) + 1 : 1;
    store<i64>(state, time, STATE_LEAP_TIME);
    store<u32>(state, count, STATE_LEAP_COUNT);
    if (count >= LEAP_COUNT) store<i64>(state, time, STATE_CLOCK);
  } else {
    store<u32>(state, 0, STATE_LEAP_COUNT);
  }
}

/** It is `time`, the host says: it is believed. */
export function setClock(time: i64): void {
  if (time > load<i64>(state, STATE_CLOCK)) store<i64>(state, time, STATE_CLOCK);
}

export function clockTime(): i64 {
  return load<i64>(state, STATE_CLOCK);
}

/** True when an absence may have fallen due. */
export function mayBeDue(): bool {
  const clock = load<i64>(state, STATE_CLOCK);
  return clock != NEVER && load<i64>(state, STATE_NEXT_DUE) <= clock;
}

/** The absence of a key, as a link, or 0 when the key is new. */
export function absenceOf(rule: u32, hash: u64): u32 {
  const slot = find(keyOf(rule, USE_ABSENCE, 0, hash));
  return slot == 0 ? 0 : linkOf(slot);
}

/** Since when the key is missing, or NEVER: no alert said so. */
export function missingSince(link: u32): i64 {
  return load<i64>(slotAt(link), ABSENCE_SINCE);
}

/** Tells that a key was seen; `labels` are the values that an alert of it will need. */
export function seeKey(rule: u32, hash: u64, time: i64, windowMs: i64, labels: usize, labelsSize: usize): void {
  const isNew = find(keyOf(rule, USE_ABSENCE, 0, hash)) == 0;
  const slot = findOrAdd(rule, USE_ABSENCE, 0, hash);
  if (slot == 0) return;
  // A time that is not believed must not make the key look alive until then.
  const seen = min(time, load<i64>(state, STATE_CLOCK));
  if (isNew || seen > load<i64>(slot, ABSENCE_SEEN)) store<i64>(slot, seen, ABSENCE_SEEN);
  store<i64>(slot, NEVER, ABSENCE_SINCE);
  store<u32>(slot, <u32>labelsSize, ABSENCE_LABELS_SIZE);
  store<u64>(slot, hash, ABSENCE_HASH);
  postpone(load<i64>(slot, ABSENCE_SEEN) + windowMs);
  for (let at: usize = 0; at < labelsSize; at += SLOT_DATA_SIZE) {
    // Touched after the key's own slot, so that they never give way before it.
    const part = findOrAdd(rule, USE_LABELS, <u32>(at / SLOT_DATA_SIZE), hash);
    memory.copy(part + SLOT_DATA, labels + at, min(labelsSize - at, SLOT_DATA_SIZE));
  }
}

/** Begins to go through the absences: each that stays is postponed again. */
export function beginDue(): void {
  store<i64>(state, i64.MAX_VALUE, STATE_NEXT_DUE);
}

/** The next absence from `link` on of which no alert was sent, or 0. The caller marks it missing or postpones it. */
export function nextAbsence(link: u32): u32 {
  const used = load<u32>(state, STATE_USED_COUNT);
  for (; link <= used; link++) {
    const slot = slotAt(link);
    if ((load<u32>(slot, SLOT_USE) & 7) == USE_ABSENCE && load<i64>(slot, ABSENCE_SINCE) == NEVER) return link;
  }
  return 0;
}

export function absenceRule(link: u32): u32 {
  return load<u32>(slotAt(link), SLOT_USE) >>> 3;
}

export function absenceSeen(link: u32): i64 {
  return load<i64>(slotAt(link), ABSENCE_SEEN);
}

/** Not yet: look again at `due`. */
export function postpone(due: i64): void {
  if (due < load<i64>(state, STATE_NEXT_DUE)) store<i64>(state, due, STATE_NEXT_DUE);
}

/** Marks the key as missing since `due`. */
export function markMissing(link: u32, due: i64): void {
  store<i64>(slotAt(link), due, ABSENCE_SINCE);
}

/** Copies the label values of an absence to `target` and gives their size; 0 when they were lost. */
export function readLabels(link: u32, target: usize): usize {
  const slot = slotAt(link);
  const size = <usize>load<u32>(slot, ABSENCE_LABELS_SIZE);
  const rule = load<u32>(slot, SLOT_USE) >>> 3;
  for (let at: usize = 0; at < size; at += SLOT_DATA_SIZE) {
    const part = find(keyOf(rule, USE_LABELS, <u32>(at / SLOT_DATA_SIZE), load<u64>(slot, ABSENCE_HASH)));
    if (part == 0) return 0;
    memory.copy(target + at, part + SLOT_DATA, min(size - at, SLOT_DATA_SIZE));
  }
  return size;
}
