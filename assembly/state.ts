// What the module remembers between records: cool-downs, windows, sequences, absences, and the rate cap.
// One region of bounded size (layout.ts draws it), in event time. A full table gives up the key that was
// seen longest ago and counts it; what a cool-down had held back for it is told by another alert.
//
// Records come late, twice, and from clocks that are wrong. So nothing here asks whether time "moves on":
// a cool-down and a window each remember two eras, stretches of time that lie far apart. A record that
// claims to be from next year opens an era of its own and leaves the present one as it was.
import * as layout from './layout';
import { AT_LEAST } from './count';

/** No time. */
export const NEVER: i64 = i64.MIN_VALUE;
// Records of one key whose times are further apart than this come from two clocks, of which one is wrong by
// whole hours: neither must speak for the other. Ahead by less, and the one clock has moved on.
const CLOCK_GAP_MS: i64 = 3600 * 1000;
const HASH_FACTOR: u64 = 0x9e3779b97f4a7c15;

let state: usize = 0;
let heads: usize = 0;
let slots: usize = 0;
let shift: u64 = 63;
let rateCount: u32 = 0;
let isNew: bool = false; // what `findOrAdd` found last had to be added

/** Takes the region at `at` and gives the address behind it. */
export function placeState(base: usize, at: usize): usize {
  const keyCount = load<u32>(base, layout.HEADER_KEY_COUNT);
  const bits = <u32>max(1, 32 - <i32>clz<u32>(max(keyCount, 2) - 1));
  state = at;
  heads = at + layout.STATE_HEADER_SIZE;
  slots = heads + ((<usize>4) << bits);
  shift = 64 - <u64>bits;
  rateCount = load<u32>(base, layout.HEADER_RATE_COUNT);
  return keyCount == 0 ? heads : slots + <usize>keyCount * layout.SLOT_SIZE;
}

/** Makes the region empty. */
export function clearState(base: usize): void {
  const keyCount = load<u32>(base, layout.HEADER_KEY_COUNT);
  memory.fill(state, 0, keyCount == 0 ? <usize>layout.STATE_HEADER_SIZE : slots - state);
  store<u32>(state, layout.STATE_VERSION, layout.STATE_FORMAT);
  store<u32>(state, keyCount, layout.STATE_KEY_COUNT);
  store<u64>(state, load<u64>(base, layout.HEADER_HASH), layout.STATE_RULESET_HASH);
  store<u32>(state, 64 - <u32>shift, layout.STATE_HEAD_BITS);
  store<i64>(state, NEVER, layout.STATE_CLOCK);
  store<i64>(state, i64.MAX_VALUE, layout.STATE_NEXT_DUE);
}

export function stateAddress(): usize {
  return state;
}

/** Bytes of the region that are in use: a snapshot is these. */
export function stateUsedSize(): usize {
  if (load<u32>(state, layout.STATE_KEY_COUNT) == 0) return layout.STATE_HEADER_SIZE;
  return slots + <usize>load<u32>(state, layout.STATE_USED_COUNT) * layout.SLOT_SIZE - state;
}

/** True when a region of these first bytes and this size was written by the same rules and format. */
export function canRestore(base: usize, snapshot: usize, size: usize): bool {
  if (size < layout.STATE_HEADER_SIZE || load<u32>(snapshot, layout.STATE_FORMAT) != layout.STATE_VERSION)
    return false;
  if (load<u64>(snapshot, layout.STATE_RULESET_HASH) != load<u64>(base, layout.HEADER_HASH)) return false;
  const keyCount = load<u32>(base, layout.HEADER_KEY_COUNT);
  const usedCount = load<u32>(snapshot, layout.STATE_USED_COUNT);
  if (load<u32>(snapshot, layout.STATE_KEY_COUNT) != keyCount || usedCount > keyCount) return false;
  return (
    size ==
    (keyCount == 0 ? <usize>layout.STATE_HEADER_SIZE : slots + <usize>usedCount * layout.SLOT_SIZE - state)
  );
}

export function evictedCount(): u64 {
  return load<u64>(state, layout.STATE_EVICTED_COUNT);
}

// ── The table ───────────────────────────────────────────────────────────────────────────────────────

function slotAt(link: u32): usize {
  return slots + <usize>(link - 1) * layout.SLOT_SIZE;
}

function linkOf(slot: usize): u32 {
  return <u32>((slot - slots) / layout.SLOT_SIZE) + 1;
}

/** One key for each rule, use, part and label set. */
function keyOf(rule: u32, use: u32, part: u32, hash: u64): u64 {
  let key = (hash ^ ((((<u64>rule) << 3) | (<u64>use)) << 32) ^ (<u64>part)) * HASH_FACTOR;
  key ^= key >>> 32;
  return key * HASH_FACTOR;
}

/** The slot of a key, seen now, or 0. */
function find(key: u64): usize {
  let link = load<u32>(heads + ((<usize>(key >>> shift)) << 2));
  while (link != 0) {
    const slot = slotAt(link);
    if (load<u64>(slot, layout.SLOT_KEY) == key) {
      touch(slot, link);
      return slot;
    }
    link = load<u32>(slot, layout.SLOT_CHAIN);
  }
  return 0;
}

/** The slot of a key, with empty data when it is new; 0 only when the ruleset asked for no keys. */
function findOrAdd(rule: u32, use: u32, part: u32, hash: u64): usize {
  if (load<u32>(state, layout.STATE_KEY_COUNT) == 0) return 0;
  const key = keyOf(rule, use, part, hash);
  const known = find(key);
  isNew = known == 0;
  if (known != 0) return known;
  const used = load<u32>(state, layout.STATE_USED_COUNT);
  let link: u32;
  if (used < load<u32>(state, layout.STATE_KEY_COUNT)) {
    link = used + 1;
    store<u32>(state, link, layout.STATE_USED_COUNT);
  } else {
    link = load<u32>(state, layout.STATE_OLDEST);
    evict(slotAt(link), link);
  }
  const slot = slotAt(link);
  const head = heads + ((<usize>(key >>> shift)) << 2);
  memory.fill(slot, 0, layout.SLOT_SIZE);
  store<u64>(slot, key, layout.SLOT_KEY);
  store<u32>(slot, load<u32>(head), layout.SLOT_CHAIN);
  store<u32>(slot, (rule << 3) | use, layout.SLOT_USE);
  store<u32>(head, link);
  pushNewest(slot, link);
  return slot;
}

/** Counts a key that the state could not keep. */
export function countEvicted(): void {
  store<u64>(state, load<u64>(state, layout.STATE_EVICTED_COUNT) + 1, layout.STATE_EVICTED_COUNT);
}

function evict(slot: usize, link: u32): void {
  countEvicted();
  if ((load<u32>(slot, layout.SLOT_USE) & 7) == layout.USE_COOL_DOWN)
    tellElsewhere(load<u64>(slot, COOL_SUPPRESSED));
  let at = heads + ((<usize>(load<u64>(slot, layout.SLOT_KEY) >>> shift)) << 2);
  while (load<u32>(at) != link) at = slotAt(load<u32>(at)) + layout.SLOT_CHAIN;
  store<u32>(at, load<u32>(slot, layout.SLOT_CHAIN));
  unlink(slot);
}

function unlink(slot: usize): void {
  const newer = load<u32>(slot, layout.SLOT_NEWER);
  const older = load<u32>(slot, layout.SLOT_OLDER);
  if (newer != 0) store<u32>(slotAt(newer), older, layout.SLOT_OLDER);
  else store<u32>(state, older, layout.STATE_NEWEST);
  if (older != 0) store<u32>(slotAt(older), newer, layout.SLOT_NEWER);
  else store<u32>(state, newer, layout.STATE_OLDEST);
}

function pushNewest(slot: usize, link: u32): void {
  const older = load<u32>(state, layout.STATE_NEWEST);
  store<u32>(slot, 0, layout.SLOT_NEWER);
  store<u32>(slot, older, layout.SLOT_OLDER);
  if (older != 0) store<u32>(slotAt(older), link, layout.SLOT_NEWER);
  else store<u32>(state, link, layout.STATE_OLDEST);
  store<u32>(state, link, layout.STATE_NEWEST);
}

function touch(slot: usize, link: u32): void {
  if (load<u32>(state, layout.STATE_NEWEST) == link) return;
  unlink(slot);
  pushNewest(slot, link);
}

// ── Cool-down ───────────────────────────────────────────────────────────────────────────────────────
// Two eras of alerts, the one used last in front: [first, last] i64 each; and what was held back since.

const ERA_SIZE = 16;
const COOL_SUPPRESSED = layout.SLOT_DATA + 2 * ERA_SIZE; // u64
/** The cool-down of a label set, or 0 when the state holds no keys. */
export function coolDownOf(rule: u32, labelsHash: u64): usize {
  const slot = findOrAdd(rule, layout.USE_COOL_DOWN, 0, labelsHash);
  if (slot != 0 && isNew) {
    for (let i: usize = 0; i < 4; i++) store<i64>(slot + (i << 3), NEVER, layout.SLOT_DATA);
  }
  return slot;
}

/** Is an alert of this label set too close to one that was sent? Late records are, when they fall into an era. */
export function isCooling(slot: usize, time: i64, realertMs: i64): bool {
  return (
    isInEra(slot + layout.SLOT_DATA, time, realertMs) ||
    isInEra(slot + layout.SLOT_DATA + ERA_SIZE, time, realertMs)
  );
}

function isInEra(era: usize, time: i64, realertMs: i64): bool {
  const last = load<i64>(era, 8);
  if (last == NEVER) return false;
  return time > max(load<i64>(era), last - CLOCK_GAP_MS) - realertMs && time < last + realertMs;
}

/** Remembers that an alert was sent. */
export function startCooling(slot: usize, time: i64, realertMs: i64): void {
  const era = slot + layout.SLOT_DATA;
  if (!adjoins(era, time, realertMs)) {
    const isOther = adjoins(era + ERA_SIZE, time, realertMs);
    const last = load<i64>(era, 8);
    const hasMovedOn = last != NEVER && time > last && time - last <= CLOCK_GAP_MS;
    if (isOther || !hasMovedOn) swapEras(era, ERA_SIZE);
    if (!isOther) {
      store<i64>(era, time);
      store<i64>(era, time, 8);
    }
  }
  store<i64>(era, min(load<i64>(era), time));
  store<i64>(era, max(load<i64>(era, 8), time), 8);
}

/** Alerts this close are of one era. What is further ahead may be a wrong clock, and the time between not yet over. */
function adjoins(era: usize, time: i64, realertMs: i64): bool {
  const last = load<i64>(era, 8);
  if (last == NEVER || time > last + 2 * realertMs) return false;
  return time >= max(load<i64>(era) - 2 * realertMs, last - CLOCK_GAP_MS);
}

function swapEras(front: usize, size: usize): void {
  for (let i: usize = 0; i < size; i += 4) {
    const word = load<u32>(front + i);
    store<u32>(front + i, load<u32>(front + i + size));
    store<u32>(front + i + size, word);
  }
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
  const used = load<u32>(state, layout.STATE_USED_COUNT);
  for (let link: u32 = 1; link <= used; link++) {
    const slot = slotAt(link);
    if (load<u32>(slot, layout.SLOT_USE) == ((rule << 3) | layout.USE_COOL_DOWN))
      count += load<u64>(slot, COOL_SUPPRESSED);
  }
  return count;
}

/** Counts matches that no label set of their own will tell of: the next alert of any tells of them. */
export function tellElsewhere(count: u64): void {
  store<u64>(state, load<u64>(state, layout.STATE_OTHERS) + count, layout.STATE_OTHERS);
}

export function untoldElsewhere(): u64 {
  return load<u64>(state, layout.STATE_OTHERS);
}

export function takeElsewhere(): u64 {
  const count = load<u64>(state, layout.STATE_OTHERS);
  store<u64>(state, 0, layout.STATE_OTHERS);
  return count;
}

// ── The rate cap ────────────────────────────────────────────────────────────────────────────────────

// A prime below RATE_SECONDS: clocks that differ by whole hours, days or years do not share an entry.
const RATE_RING: u32 = 59;

/** Takes one of the alerts that may be sent in the event time's second; false when they are used up. */
export function takeRate(time: i64): bool {
  if (rateCount == 0) return true;
  const second = <u32>(time / 1000);
  const entry = state + layout.STATE_SECONDS + ((<usize>(second % RATE_RING)) << 3);
  const count = load<u32>(entry) == second ? load<u32>(entry, 4) : 0;
  if (count >= rateCount) return false;
  store<u32>(entry, second);
  store<u32>(entry, count + 1, 4);
  return true;
}

// ── Windows ─────────────────────────────────────────────────────────────────────────────────────────
// Time is cut into slices of a seventh of the window. An era has the number of its newest slice (u32,
// compared modulo 2^32) and the counts of that slice and the seven before (u16, slice number modulo 8).

const WINDOW_NEWEST = layout.SLOT_DATA;
const WINDOW_COUNTS = layout.SLOT_DATA + 4;
const WINDOW_ERA_SIZE: usize = 4 + 2 * layout.WINDOW_SLICES;
const SLICE_COUNT_MAX: u32 = 0xffff;

function sliceSize(windowMs: i64): i64 {
  return (windowMs + layout.WINDOW_SLICES - 2) / (layout.WINDOW_SLICES - 1);
}

/** Adds a match to the window of a key and gives the count of the window, this match included. */
export function countInWindow(rule: u32, hash: u64, time: i64, windowMs: i64): u64 {
  const slot = findOrAdd(rule, layout.USE_WINDOW, 0, hash);
  if (slot == 0) return 1;
  const sliceMs = sliceSize(windowMs);
  const slice = <u32>(time / sliceMs);
  if (!turnToEra(slot + layout.SLOT_DATA, WINDOW_ERA_SIZE, slice, sliceMs)) {
    store<u32>(slot, slice, WINDOW_NEWEST);
    memory.fill(slot + WINDOW_COUNTS, 0, 2 * layout.WINDOW_SLICES);
  }
  const newest = load<u32>(slot, WINDOW_NEWEST);
  for (let next = newest + 1; <i32>(slice - next) >= 0; next++) store<u16>(countAt(slot, next), 0);
  if (<i32>(slice - newest) > 0) store<u32>(slot, slice, WINDOW_NEWEST);
  addCount(countAt(slot, slice), 1);
  joinEras(slot);
  let sum: u64 = 0;
  for (let i: u32 = 0; i < <u32>layout.WINDOW_SLICES; i++) {
    const count = <u64>load<u16>(countAt(slot, i));
    sum = (sum + count) | (count == SLICE_COUNT_MAX ? AT_LEAST : 0);
  }
  return sum;
}

function countAt(slot: usize, slice: u32): usize {
  return slot + WINDOW_COUNTS + ((<usize>(slice % layout.WINDOW_SLICES)) << 1);
}

function addCount(at: usize, count: u32): void {
  store<u16>(at, min(<u32>load<u16>(at) + count, SLICE_COUNT_MAX));
}

function isNear(slice: u32, other: u32): bool {
  const distance = <i32>(slice - other);
  return distance > -layout.WINDOW_SLICES && distance < layout.WINDOW_SLICES;
}

/**
 * Brings the era that a slice belongs to to the front; an era begins with the number of its newest slice. False
 * when it belongs to none: then the one in front has to begin anew.
 */
function turnToEra(front: usize, eraSize: usize, slice: u32, sliceMs: i64): bool {
  const newest = load<u32>(front);
  const other = load<u32>(front + eraSize);
  const belongs = isNear(slice, newest);
  if (isNear(slice, other) ? belongs && <i32>(other - newest) <= 0 : belongs) return true;
  const hasMovedOn = <i64>(slice - newest) * sliceMs <= CLOCK_GAP_MS;
  if (hasMovedOn && !isNear(slice, other)) return false;
  swapEras(front, eraSize);
  return isNear(slice, other);
}

/** A clock that was late has caught up: what the other era counted within this one's window belongs to it. */
function joinEras(slot: usize): void {
  const newest = load<u32>(slot, WINDOW_NEWEST);
  const other = load<u32>(slot + WINDOW_ERA_SIZE, WINDOW_NEWEST);
  if (newest - other >= <u32>layout.WINDOW_SLICES) return;
  for (let slice = newest - layout.WINDOW_SLICES + 1; <i32>(other - slice) >= 0; slice++) {
    const count = countAt(slot + WINDOW_ERA_SIZE, slice);
    addCount(countAt(slot, slice), load<u16>(count));
    store<u16>(count, 0);
  }
}

// ── Distinct values in a window ─────────────────────────────────────────────────────────────────────
// Slots of a key, counted by `part`, each with five pairs of u32: a value's hash (0: none) and its slice. The
// very first pair holds the newest slices of two eras instead.

const PAIRS: u32 = layout.SLOT_DATA_SIZE / 8;
const PARTS_MAX: u32 = layout.DISTINCT_COUNT_MAX / PAIRS + 1;

/** Adds a value and gives how many different ones the window holds, at most DISTINCT_COUNT_MAX. */
export function countDistinct(rule: u32, hash: u64, value: u64, time: i64, windowMs: i64): u64 {
  let slot = findOrAdd(rule, layout.USE_DISTINCT, 0, hash);
  if (slot == 0) return 1;
  const sliceMs = sliceSize(windowMs);
  const slice = <u32>(time / sliceMs);
  const eras = slot + layout.SLOT_DATA;
  if (!turnToEra(eras, 4, slice, sliceMs) || <i32>(slice - load<u32>(eras)) > 0) store<u32>(eras, slice);
  const newest = load<u32>(eras);
  const other = load<u32>(eras, 4);
  const wanted = max(<u32>(value ^ (value >>> 32)), 1);
  let free: usize = 0; // the first pair that no era needs
  let spare: usize = 0; // a pair that this era does not need
  let known: bool = false;
  let count: u64 = 0;
  for (let part: u32 = 1; slot != 0; part++) {
    for (let i: u32 = part == 1 ? 1 : 0; i < PAIRS; i++) {
      const pair = slot + layout.SLOT_DATA + ((<usize>i) << 3);
      const at = load<u32>(pair, 4);
      if (load<u32>(pair) == 0) {
        if (free == 0) free = pair;
      } else if (newest - at >= <u32>layout.WINDOW_SLICES) {
        if (free == 0 && other - at >= <u32>layout.WINDOW_SLICES) free = pair;
        spare = pair;
      } else if (load<u32>(pair) != wanted) {
        count++;
      } else if (known) {
        store<u32>(pair, 0); // both eras had it, before the late one caught up
      } else {
        known = true;
        count++;
        if (<i32>(slice - at) > 0) store<u32>(pair, slice, 4);
      }
    }
    if (part == PARTS_MAX) break;
    slot =
      known || free != 0
        ? find(keyOf(rule, layout.USE_DISTINCT, part, hash))
        : findOrAdd(rule, layout.USE_DISTINCT, part, hash);
  }
  if (free == 0) free = spare;
  if (!known && free != 0) {
    store<u32>(free, wanted);
    store<u32>(free, slice, 4);
    count++;
  }
  return min(count, layout.DISTINCT_COUNT_MAX);
}

// ── Sequences ───────────────────────────────────────────────────────────────────────────────────────
// For each step but the last: when the chain began that reached it (i64, NEVER: none) and how much later
// it was reached (u32). A second slot has the chains of another era; in the first, a u32 at the end says which of
// the two began a chain last.

const CHAIN_SIZE = 12;
const SEQUENCE_LAST = layout.SLOT_DATA + 3 * CHAIN_SIZE;

/** Tells that a record met a step; true when it completes the sequence. */
export function advanceSequence(
  rule: u32,
  hash: u64,
  step: u32,
  stepCount: u32,
  time: i64,
  windowMs: i64,
): bool {
  const slot = chainsOf(rule, hash, 0);
  if (slot == 0) return false;
  const other = find(keyOf(rule, layout.USE_SEQUENCE, 1, hash));
  if (step != 0)
    return (
      extendChain(slot, step, stepCount, time, windowMs) ||
      (other != 0 && extendChain(other, step, stepCount, time, windowMs))
    );
  if (beginChain(slot, time, windowMs)) {
    store<u32>(slot, 0, SEQUENCE_LAST);
  } else if (other != 0 && beginChain(other, time, windowMs)) {
    store<u32>(slot, 1, SEQUENCE_LAST);
  } else {
    // A new era: in a slot without chains, or in the one used longer ago.
    const part: u32 = isFree(slot) ? 0 : other != 0 && isFree(other) ? 1 : load<u32>(slot, SEQUENCE_LAST) ^ 1;
    const target = part == 0 ? slot : chainsOf(rule, hash, 1);
    clearChains(target);
    setChain(target, 0, time, time);
    store<u32>(slot, part, SEQUENCE_LAST);
  }
  return false;
}

function chainsOf(rule: u32, hash: u64, part: u32): usize {
  const slot = findOrAdd(rule, layout.USE_SEQUENCE, part, hash);
  if (slot != 0 && isNew) clearChains(slot);
  return slot;
}

function isFree(slot: usize): bool {
  return load<i64>(slot, layout.SLOT_DATA) == NEVER;
}

/** Begins a chain, unless a later one has; false when the slot has none of this era. */
function beginChain(slot: usize, time: i64, windowMs: i64): bool {
  const began = load<i64>(slot, layout.SLOT_DATA);
  if (isFree(slot) || time < began - windowMs || time > began + max(windowMs, CLOCK_GAP_MS)) return false;
  if (time >= began) setChain(slot, 0, time, time);
  return true;
}

/** Adds a step to the chain that reached the step before; true when it was the last. */
function extendChain(slot: usize, step: u32, stepCount: u32, time: i64, windowMs: i64): bool {
  const before = slot + layout.SLOT_DATA + <usize>(step - 1) * CHAIN_SIZE;
  const began = load<i64>(before);
  if (began == NEVER || time < began + <i64>load<u32>(before, 8) || time - began > windowMs) return false;
  if (step + 1 == stepCount) {
    clearChains(slot);
    return true;
  }
  const known = load<i64>(before, CHAIN_SIZE);
  if (known < began || (known == began && time - began < <i64>load<u32>(before, CHAIN_SIZE + 8)))
    setChain(slot, step, began, time);
  return false;
}

function setChain(slot: usize, step: u32, began: i64, time: i64): void {
  const chain = slot + layout.SLOT_DATA + <usize>step * CHAIN_SIZE;
  store<i64>(chain, began);
  store<u32>(chain, <u32>(time - began), 8);
}

function clearChains(slot: usize): void {
  for (let i: u32 = 0; i < 3; i++) setChain(slot, i, NEVER, NEVER);
}

// ── Absence ─────────────────────────────────────────────────────────────────────────────────────────
// When the key was seen last (i64), since when it is missing (i64, NEVER: it is not), the size of its
// labels' values (u32), which lie in slots of their own, 40 bytes each, and when a record said that it was
// seen which was ahead of the clock (i64): that counts once the clock has come there.

const ABSENCE_SEEN = layout.SLOT_DATA;
const ABSENCE_SINCE = layout.SLOT_DATA + 8;
const ABSENCE_LABELS_SIZE = layout.SLOT_DATA + 16;
const ABSENCE_HASH = layout.SLOT_DATA + 24; // u64, of the labels
const ABSENCE_CLAIMED = layout.SLOT_DATA + 32;

const LEAP_MS: i64 = 3600 * 1000; // a record further away than this, ahead or behind, is not believed at once
const LEAP_COUNT: u32 = 8; // so many in a row are

/** The stream has come to `time`, a record says. */
export function moveClock(time: i64): void {
  const clock = load<i64>(state, layout.STATE_CLOCK);
  if (clock == NEVER || isWithinLeap(time, clock)) {
    store<i64>(state, max(time, clock), layout.STATE_CLOCK);
    store<u32>(state, 0, layout.STATE_LEAP_COUNT);
    return;
  }
  const count = isWithinLeap(time, load<i64>(state, layout.STATE_LEAP_TIME))
    ? load<u32>(state, layout.STATE_LEAP_COUNT) + 1
    : 1;
  store<i64>(state, time, layout.STATE_LEAP_TIME);
  store<u32>(state, count, layout.STATE_LEAP_COUNT);
  if (count >= LEAP_COUNT) leap(time);
}

function isWithinLeap(time: i64, other: i64): bool {
  return time - other <= LEAP_MS && other - time <= LEAP_MS;
}

/** It is `time`, the host says: it is believed. Backward only from far: its own clock may jitter. */
export function setClock(time: i64): void {
  const clock = load<i64>(state, layout.STATE_CLOCK);
  if (time > clock || !isWithinLeap(time, clock)) leap(time);
  store<u32>(state, 0, layout.STATE_LEAP_COUNT);
}

/** Sets the clock. When it was wrong and goes back, the absences have to be looked at: `absenceSeen` mends them. */
function leap(time: i64): void {
  store<i64>(state, time, layout.STATE_CLOCK);
  store<u32>(state, 0, layout.STATE_LEAP_COUNT);
  postpone(time);
}

export function clockTime(): i64 {
  return load<i64>(state, layout.STATE_CLOCK);
}

/** True when an absence may have fallen due; never while records say that the clock is wrong. */
export function mayBeDue(): bool {
  const clock = load<i64>(state, layout.STATE_CLOCK);
  return (
    clock != NEVER &&
    load<i64>(state, layout.STATE_NEXT_DUE) <= clock &&
    load<u32>(state, layout.STATE_LEAP_COUNT) == 0
  );
}

/** The absence of a key, as a link, or 0 when the key is new. */
export function absenceOf(rule: u32, hash: u64): u32 {
  const slot = find(keyOf(rule, layout.USE_ABSENCE, 0, hash));
  return slot == 0 ? 0 : linkOf(slot);
}

/** Since when the key is missing, or NEVER: no alert said so. */
export function missingSince(link: u32): i64 {
  return load<i64>(slotAt(link), ABSENCE_SINCE);
}

/** Tells that a key was seen; `labels` are the values that an alert of it will need. */
export function seeKey(
  rule: u32,
  hash: u64,
  time: i64,
  windowMs: i64,
  labels: usize,
  labelsSize: usize,
): void {
  const slot = findOrAdd(rule, layout.USE_ABSENCE, 0, hash);
  if (slot == 0) return;
  if (isNew) {
    store<i64>(slot, NEVER, ABSENCE_SEEN);
    store<i64>(slot, NEVER, ABSENCE_CLAIMED);
  }
  // A time that is not believed must not make the key look alive until then.
  const clock = load<i64>(state, layout.STATE_CLOCK);
  store<i64>(slot, max(load<i64>(slot, ABSENCE_SEEN), min(time, clock)), ABSENCE_SEEN);
  if (time > clock) store<i64>(slot, time, ABSENCE_CLAIMED);
  store<i64>(slot, NEVER, ABSENCE_SINCE);
  store<u32>(slot, <u32>labelsSize, ABSENCE_LABELS_SIZE);
  store<u64>(slot, hash, ABSENCE_HASH);
  postpone(load<i64>(slot, ABSENCE_SEEN) + windowMs);
  for (let at: usize = 0; at < labelsSize; at += layout.SLOT_DATA_SIZE) {
    // Touched after the key's own slot, so that they never give way before it.
    const part = findOrAdd(rule, layout.USE_LABELS, <u32>(at / layout.SLOT_DATA_SIZE), hash);
    memory.copy(part + layout.SLOT_DATA, labels + at, min(labelsSize - at, layout.SLOT_DATA_SIZE));
  }
}

/** Begins to go through the absences: each that stays is postponed again. */
export function beginDue(): void {
  store<i64>(state, i64.MAX_VALUE, layout.STATE_NEXT_DUE);
}

/** The next absence from `link` on of which no alert was sent, or 0. The caller marks it missing or postpones it. */
export function nextAbsence(link: u32): u32 {
  const used = load<u32>(state, layout.STATE_USED_COUNT);
  for (; link <= used; link++) {
    const slot = slotAt(link);
    if (
      (load<u32>(slot, layout.SLOT_USE) & 7) == layout.USE_ABSENCE &&
      load<i64>(slot, ABSENCE_SINCE) == NEVER
    )
      return link;
  }
  return 0;
}

export function absenceRule(link: u32): u32 {
  return load<u32>(slotAt(link), layout.SLOT_USE) >>> 3;
}

/** When a key was seen last, by the clock as it is believed now. */
export function absenceSeen(link: u32): i64 {
  const slot = slotAt(link);
  const clock = load<i64>(state, layout.STATE_CLOCK);
  const claimed = load<i64>(slot, ABSENCE_CLAIMED);
  let seen = load<i64>(slot, ABSENCE_SEEN);
  if (seen > clock) {
    store<i64>(slot, seen, ABSENCE_CLAIMED);
    seen = clock;
  } else if (claimed > seen && claimed <= clock) {
    seen = claimed;
  }
  store<i64>(slot, seen, ABSENCE_SEEN);
  return seen;
}

/** Not yet: look again at `due`. */
export function postpone(due: i64): void {
  if (due < load<i64>(state, layout.STATE_NEXT_DUE)) store<i64>(state, due, layout.STATE_NEXT_DUE);
}

/** Marks the key as missing since `due`. */
export function markMissing(link: u32, due: i64): void {
  store<i64>(slotAt(link), due, ABSENCE_SINCE);
}

/** Copies the label values of an absence to `target` and gives their size; 0 when they were lost. */
export function readLabels(link: u32, target: usize): usize {
  const slot = slotAt(link);
  const size = <usize>load<u32>(slot, ABSENCE_LABELS_SIZE);
  const rule = load<u32>(slot, layout.SLOT_USE) >>> 3;
  for (let at: usize = 0; at < size; at += layout.SLOT_DATA_SIZE) {
    const part = find(
      keyOf(rule, layout.USE_LABELS, <u32>(at / layout.SLOT_DATA_SIZE), load<u64>(slot, ABSENCE_HASH)),
    );
    if (part == 0) return 0;
    memory.copy(target + at, part + layout.SLOT_DATA, min(size - at, layout.SLOT_DATA_SIZE));
  }
  return size;
}
