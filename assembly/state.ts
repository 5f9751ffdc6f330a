// What counting remembers between hits: cool-downs, windows, sequences, absences, and the rate cap. One region of
// bounded size, in event time. When the table is full the key that was used longest ago is evicted and counted; what its
// cool-down had suppressed is reported by another alert.
//
// Hits come late, twice, and from clocks that are wrong. So nothing here assumes that time moves forward: a cool-down and a
// window each remember two eras, stretches of time that lie far apart. A record that claims to be from next year begins
// an era of its own and leaves the present one as it was.
import * as layout from './layout';

// The region, which a host may copy out and in:
//
//   [header 96] [heads 4 << bits] [slots 64 × key count]
//
// A hash table with chains, and a list of all slots from the one seen last to the one seen longest ago.
// Links are slot indexes + 1, 0: none. Times are milliseconds of event time, i64.
export const STATE_VERSION: u32 = 4;
export const STATE_FORMAT = 0; // STATE_VERSION
export const STATE_KEY_COUNT = 4;
export const STATE_RULESET_HASH = 8; // u64: a region belongs to its rules
export const STATE_USED_COUNT = 16; // slots ever used; they are taken in order
export const STATE_NEWEST = 20;
export const STATE_OLDEST = 24;
export const STATE_HEAD_BITS = 28;
export const STATE_CLOCK = 32; // i64: how far the stream has come
export const STATE_LEAP_TIME = 40; // i64: the time of records that are too far ahead to be believed
export const STATE_LEAP_COUNT = 48; // how many of them in a row
export const STATE_SUPPRESSED = 56; // u64: suppressed matches of cool-downs that were evicted
export const STATE_EVICTED_COUNT = 64; // u64: keys that were evicted
export const STATE_NEXT_DUE = 72; // i64: no absence falls due before this
export const STATE_WALK_TIME = 80; // i64: when the last walk over suppressed matches began
export const STATE_WALK = 88; // where the walk is, 0: it is done
export const STATE_HEADER_SIZE: u32 = 96;

export const SLOT_KEY = 0; // u64
export const SLOT_CHAIN = 8; // the next slot of the bucket
export const SLOT_NEWER = 12;
export const SLOT_OLDER = 16;
export const SLOT_USE = 20; // rule index × 16 + one of USE_…
export const SLOT_DATA = 24;
export const SLOT_DATA_SIZE = 40;
export const SLOT_SIZE = 64;

// What a slot is for. A key may have several slots, told apart by their `part`.
export const USE_COOL_DOWN: u32 = 1;
export const USE_WINDOW: u32 = 2;
export const USE_DISTINCT: u32 = 3;
export const USE_SEQUENCE: u32 = 4;
export const USE_ABSENCE: u32 = 5;
export const USE_LABELS: u32 = 6; // texts that an alert needs when it fires: label values, samples
export const USE_TIMES: u32 = 7; // when the last matches of a window were
export const USE_RATE: u32 = 8; // alerts of a rule and tenant in one second
export const USE_CAPPED: u32 = 9; // alerts of a rule and tenant above the rate cap
export const USE_SEEN: u32 = 12; // when a combination of labels was seen
export const USE_WAITING: u32 = 13; // a sequence that was met and waits for its end
export const USE_SAMPLES: u32 = 14; // how many texts of matches are kept
export const USE_WATCHED: u32 = 15; // since when a rule's combinations are known
const USE_BITS: u32 = 4;
const USE_MASK: u32 = 15;

/** The bit of a count that means "or more". */
export const AT_LEAST: u64 = 1 << 63;

/** The bit of a value that is a share, in parts of SHARE_UNIT. */
export const IS_SHARE: u64 = 1 << 62;

export const WINDOW_SLICES = 8; // a window is counted in slices of a seventh: it reaches back 1 to 8/7 windows

/** No time. */
export const NEVER: i64 = i64.MIN_VALUE;
// Records of one key whose times are further apart than this come from two clocks, of which one is wrong by
// whole hours: neither may decide for the other. When one is ahead by less, the same clock has moved on.
const CLOCK_GAP_MS: i64 = 3600 * 1000;
const HASH_FACTOR: u64 = 0x9e3779b97f4a7c15;

let state: usize = 0;
let heads: usize = 0;
let slots: usize = 0;
let shift: u64 = 63;
let rateCount: u32 = 0;
let wasAdded: bool = false; // what `findOrAdd` found last had to be added

/** Takes the region at `at` and returns the address after it. */
export function placeState(base: usize, at: usize): usize {
  const keyCount = load<u32>(base, layout.HEADER_KEY_COUNT);
  const bits = <u32>max(1, 32 - <i32>clz<u32>(max(keyCount, 2) - 1));
  state = at;
  heads = at + STATE_HEADER_SIZE;
  slots = heads + ((<usize>4) << bits);
  shift = 64 - <u64>bits;
  rateCount = load<u32>(base, layout.HEADER_RATE_COUNT);
  return keyCount == 0 ? heads : slots + <usize>keyCount * SLOT_SIZE;
}

/** Makes the region empty. */
export function clearState(base: usize): void {
  const keyCount = load<u32>(base, layout.HEADER_KEY_COUNT);
  memory.fill(state, 0, keyCount == 0 ? <usize>STATE_HEADER_SIZE : slots - state);
  store<u32>(state, STATE_VERSION, STATE_FORMAT);
  store<u32>(state, keyCount, STATE_KEY_COUNT);
  store<u64>(state, load<u64>(base, layout.HEADER_HASH), STATE_RULESET_HASH);
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

/** True when a region with these first bytes and this size was written with the same rules and format. */
export function canRestore(base: usize, snapshot: usize, size: usize): bool {
  if (size < STATE_HEADER_SIZE || load<u32>(snapshot, STATE_FORMAT) != STATE_VERSION) return false;
  if (load<u64>(snapshot, STATE_RULESET_HASH) != load<u64>(base, layout.HEADER_HASH)) return false;
  const keyCount = load<u32>(base, layout.HEADER_KEY_COUNT);
  const usedCount = load<u32>(snapshot, STATE_USED_COUNT);
  if (load<u32>(snapshot, STATE_KEY_COUNT) != keyCount || usedCount > keyCount) return false;
  return size == (keyCount == 0 ? <usize>STATE_HEADER_SIZE : slots + <usize>usedCount * SLOT_SIZE - state);
}

export function usedKeyCount(): u32 {
  return load<u32>(state, STATE_USED_COUNT);
}

export function evictedCount(): u64 {
  return load<u64>(state, STATE_EVICTED_COUNT);
}

// ── The table ───────────────────────────────────────────────────────────────────────────────────────

export function slotAt(link: u32): usize {
  return slots + <usize>(link - 1) * SLOT_SIZE;
}

function linkOf(slot: usize): u32 {
  return <u32>((slot - slots) / SLOT_SIZE) + 1;
}

/** One key for each rule, use, part and label set. */
function keyOf(rule: u32, purpose: u32, part: u32, hash: u64): u64 {
  let key = (hash ^ ((((<u64>rule) << USE_BITS) | (<u64>purpose)) << 32) ^ (<u64>part)) * HASH_FACTOR;
  key ^= key >>> 32;
  return key * HASH_FACTOR;
}

const FACTOR_INVERSE: u64 = 0xf1de83e19937733d; // HASH_FACTOR × this = 1, modulo 2^64

/** The inverse of `keyOf`, for a slot of part 0. */
function hashOf(slot: usize): u64 {
  let key = load<u64>(slot, SLOT_KEY) * FACTOR_INVERSE;
  key ^= key >>> 32;
  return (key * FACTOR_INVERSE) ^ ((<u64>load<u32>(slot, SLOT_USE)) << 32);
}

/** The slot of a key, or 0. It becomes the one used last. */
function use(key: u64): usize {
  let link = load<u32>(heads + ((<usize>(key >>> shift)) << 2));
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
function findOrAdd(rule: u32, purpose: u32, part: u32, hash: u64): usize {
  if (load<u32>(state, STATE_KEY_COUNT) == 0) return 0;
  const key = keyOf(rule, purpose, part, hash);
  const known = use(key);
  wasAdded = known == 0;
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
  const head = heads + ((<usize>(key >>> shift)) << 2);
  memory.fill(slot, 0, SLOT_SIZE);
  store<u64>(slot, key, SLOT_KEY);
  store<u32>(slot, load<u32>(head), SLOT_CHAIN);
  store<u32>(slot, (rule << USE_BITS) | purpose, SLOT_USE);
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
  const purpose = load<u32>(slot, SLOT_USE) & USE_MASK;
  if (purpose == USE_COOL_DOWN || purpose == USE_CAPPED) suppressEvicted(load<u64>(slot, COOL_SUPPRESSED));
  let at = heads + ((<usize>(load<u64>(slot, SLOT_KEY) >>> shift)) << 2);
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
// Two eras of alerts, the one used last in front: [first, last], i64 each; then what was suppressed since.

const ERA_SIZE = 16;
const COOL_SUPPRESSED = SLOT_DATA + 2 * ERA_SIZE; // u64
/** The cool-down of a label set, or 0 when it has none. */
export function knownCoolDown(rule: u32, labelsHash: u64): usize {
  return use(keyOf(rule, USE_COOL_DOWN, 0, labelsHash));
}

/** The cool-down of a label set, a new one if it has none; 0 when the state holds no keys. */
export function coolDownOf(rule: u32, labelsHash: u64): usize {
  return erasOf(rule, USE_COOL_DOWN, labelsHash);
}

function erasOf(rule: u32, purpose: u32, hash: u64): usize {
  const slot = findOrAdd(rule, purpose, 0, hash);
  if (slot != 0 && wasAdded) {
    for (let i: usize = 0; i < 4; i++) store<i64>(slot + (i << 3), NEVER, SLOT_DATA);
  }
  return slot;
}

/** Is an alert of this label set too close to one that was sent? Late records are, when they fall into an era. */
export function isCooling(slot: usize, time: i64, realertMs: i64): bool {
  return isInEra(slot + SLOT_DATA, time, realertMs) || isInEra(slot + SLOT_DATA + ERA_SIZE, time, realertMs);
}

function isInEra(era: usize, time: i64, realertMs: i64): bool {
  const last = load<i64>(era, 8);
  if (last == NEVER) return false;
  return time > max(load<i64>(era), last - CLOCK_GAP_MS) - realertMs && time < last + realertMs;
}

/** Remembers that an alert was sent. */
export function startCooling(slot: usize, time: i64, realertMs: i64): void {
  const era = slot + SLOT_DATA;
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

/** Alerts this close are of one era. One further ahead may be from a wrong clock, and the time between not yet over. */
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

/** An alert said that the trouble was over at `end`: what comes then is news. What is late stays suppressed. */
export function endCooling(slot: usize, end: i64, realertMs: i64): void {
  for (let era = slot + SLOT_DATA; era < slot + COOL_SUPPRESSED; era += ERA_SIZE) {
    const last = load<i64>(era, 8);
    if (last != NEVER && last <= end && last + realertMs > end) store<i64>(era, end - realertMs, 8);
  }
}

export function addSuppressed(slot: usize): void {
  store<u64>(slot, load<u64>(slot, COOL_SUPPRESSED) + 1, COOL_SUPPRESSED);
}

/** What was suppressed since the last alert of this label set. */
export function suppressedSince(slot: usize): u64 {
  return load<u64>(slot, COOL_SUPPRESSED);
}

/** Sets what was suppressed since the last alert. */
export function setSuppressed(slot: usize, count: u64): void {
  if (slot != 0) store<u64>(slot, count, COOL_SUPPRESSED);
}

/** The label set of a cool-down. */
export function coolDownHash(link: u32): u64 {
  return hashOf(slotAt(link));
}

/**
 * The next cool-down with suppressed matches that are not reported, key that is missing or in trouble, or rule that learns, or
 * 0 when the walk over all of them is done; the next walk begins `everyMs` after this one began.
 */
export function nextUnsaid(everyMs: i64): u32 {
  const clock = load<i64>(state, STATE_CLOCK);
  let link = load<u32>(state, STATE_WALK);
  if (link == 0) {
    const due = load<i64>(state, STATE_WALK_TIME) + everyMs;
    if (clock < due && due - clock <= everyMs) return 0;
    store<i64>(state, clock, STATE_WALK_TIME);
  }
  const used = load<u32>(state, STATE_USED_COUNT);
  while (++link <= used) {
    const slot = slotAt(link);
    const purpose = load<u32>(slot, SLOT_USE) & USE_MASK;
    const isUnsaid =
      purpose == USE_ABSENCE
        ? load<i64>(slot, ABSENCE_SINCE) != NEVER
        : purpose == USE_WATCHED || (purpose == USE_COOL_DOWN && load<u64>(slot, COOL_SUPPRESSED) != 0);
    if (!isUnsaid) continue;
    store<u32>(state, link, STATE_WALK);
    return link;
  }
  store<u32>(state, 0, STATE_WALK);
  return 0;
}

/** Notes that what was suppressed is reported. */
export function clearSuppressed(slot: usize): void {
  store<u64>(slot, 0, COOL_SUPPRESSED);
}

/** What the cool-downs and the rate cap of one rule suppressed and nothing has reported yet. */
export function suppressedOf(rule: u32): u64 {
  let count: u64 = 0;
  const used = load<u32>(state, STATE_USED_COUNT);
  for (let link: u32 = 1; link <= used; link++) {
    const slot = slotAt(link);
    const owner = load<u32>(slot, SLOT_USE);
    if (owner == ((rule << USE_BITS) | USE_COOL_DOWN) || owner == ((rule << USE_BITS) | USE_CAPPED))
      count += load<u64>(slot, COOL_SUPPRESSED);
  }
  return count;
}

/** Counts suppressed matches of a key that was evicted: the next alert of any rule reports them. */
function suppressEvicted(count: u64): void {
  store<u64>(state, load<u64>(state, STATE_SUPPRESSED) + count, STATE_SUPPRESSED);
}

export function suppressedOfEvicted(): u64 {
  return load<u64>(state, STATE_SUPPRESSED);
}

/** Notes that `count` of them are reported. */
export function reportEvicted(count: u64): void {
  store<u64>(state, load<u64>(state, STATE_SUPPRESSED) - count, STATE_SUPPRESSED);
}

// ── The rate cap ────────────────────────────────────────────────────────────────────────────────────
// Each rule and tenant has its own, so that a flood of one suppresses no alert of another. Each second of event time has a
// slot of its own, so clocks that differ do not use up each other's alerts. Capped alerts are counted; the first label sets among
// them are kept, and an alert reports both.

const RATE_TAKEN = SLOT_DATA; // u32

// The count is where a cool-down has it, so that eviction finds it.
const CAPPED_SINCE = SLOT_DATA; // i64, event time of the first
const CAPPED_TENANT = SLOT_DATA + 8; // u64
const CAPPED_LABELS_SIZES = SLOT_DATA + 16; // u16 for each place; 0: none is kept
const CAPPED_HASHES = SLOT_DATA + 24; // u32 for each place but the last
/** Label sets of capped alerts that are kept. */
export const CAPPED_SETS = 3;

/** After this time without an alert that reports them, capped alerts are reported by one of their own. */
const CAPPED_REPORT_MS: i64 = 10000;

/** Whether one more alert of the rule and tenant may be sent in the second of `time`. */
export function hasRate(rule: u32, tenant: u64, time: i64): bool {
  if (rateCount == 0) return true;
  const slot = use(keyOf(rule, USE_RATE, secondOf(time), tenant));
  return slot == 0 || load<u32>(slot, RATE_TAKEN) < rateCount;
}

export function takeRate(rule: u32, tenant: u64, time: i64): void {
  if (rateCount == 0) return;
  const slot = findOrAdd(rule, USE_RATE, secondOf(time), tenant);
  if (slot != 0) store<u32>(slot, load<u32>(slot, RATE_TAKEN) + 1, RATE_TAKEN);
}

function secondOf(time: i64): u32 {
  return <u32>(time / 1000);
}

/**
 * Counts an alert above the cap. Returns the place in which to keep its labels, or −1: no place is free, or these labels
 * are kept already. `hash` is of the labels.
 */
export function addCapped(rule: u32, tenant: u64, time: i64, hash: u64): i32 {
  const slot = findOrAdd(rule, USE_CAPPED, 0, tenant);
  if (slot == 0) {
    suppressEvicted(1); // the state holds no keys
    return -1;
  }
  const count = load<u64>(slot, COOL_SUPPRESSED) + 1;
  store<u64>(slot, count, COOL_SUPPRESSED);
  if (count == 1) {
    memory.fill(slot + SLOT_DATA, 0, COOL_SUPPRESSED - SLOT_DATA);
    store<i64>(slot, time, CAPPED_SINCE);
    store<u64>(slot, tenant, CAPPED_TENANT);
  }
  for (let place = 0; place < CAPPED_SETS; place++) {
    if (load<u16>(slot + (place << 1), CAPPED_LABELS_SIZES) == 0) {
      if (place < CAPPED_SETS - 1) store<u32>(slot + (place << 2), <u32>hash, CAPPED_HASHES);
      return place;
    }
    if (place < CAPPED_SETS - 1 && load<u32>(slot + (place << 2), CAPPED_HASHES) == <u32>hash) return -1;
  }
  return -1;
}

/** Keeps the labels of a capped alert in the place that `addCapped` returned. */
export function keepCapped(rule: u32, tenant: u64, place: i32, labels: usize, labelsSize: usize): void {
  const slot = use(keyOf(rule, USE_CAPPED, 0, tenant));
  if (slot == 0) return;
  store<u16>(slot + (place << 1), <u16>labelsSize, CAPPED_LABELS_SIZES);
  writeLabels(rule, tenant, CAPPED_PARTS * <u32>(place + 1), labels, labelsSize);
}

/** Alerts of the rule and tenant above the cap that are not reported. */
export function cappedCount(rule: u32, tenant: u64): u64 {
  const slot = use(keyOf(rule, USE_CAPPED, 0, tenant));
  return slot == 0 ? 0 : load<u64>(slot, COOL_SUPPRESSED);
}

export function clearCapped(rule: u32, tenant: u64): void {
  const slot = use(keyOf(rule, USE_CAPPED, 0, tenant));
  if (slot != 0) store<u64>(slot, 0, COOL_SUPPRESSED);
}

/** The next rule and tenant, from `link` on, whose capped alerts nothing has reported for long enough, or 0. */
export function nextCapped(link: u32, time: i64): u32 {
  const used = load<u32>(state, STATE_USED_COUNT);
  for (; link <= used; link++) {
    const slot = slotAt(link);
    if ((load<u32>(slot, SLOT_USE) & USE_MASK) != USE_CAPPED || load<u64>(slot, COOL_SUPPRESSED) == 0)
      continue;
    const since = load<i64>(slot, CAPPED_SINCE);
    if (time - since >= CAPPED_REPORT_MS || since > time) return link;
  }
  return 0;
}

export function cappedTenant(link: u32): u64 {
  return load<u64>(slotAt(link), CAPPED_TENANT);
}

export function cappedSince(link: u32): i64 {
  return load<i64>(slotAt(link), CAPPED_SINCE);
}

/** Copies label values of a capped alert to `target` and returns their size; 0 when that place has none, or lost them. */
export function readCapped(rule: u32, tenant: u64, place: i32, target: usize): usize {
  const slot = use(keyOf(rule, USE_CAPPED, 0, tenant));
  if (slot == 0) return 0;
  const size = <usize>load<u16>(slot + (place << 1), CAPPED_LABELS_SIZES);
  return readLabelParts(rule, tenant, CAPPED_PARTS * <u32>(place + 1), target, size);
}

/** The index of a slot's rule. */
export function slotRule(link: u32): u32 {
  return load<u32>(slotAt(link), SLOT_USE) >>> USE_BITS;
}

// ── Labels ──────────────────────────────────────────────────────────────────────────────────────────
// Texts are in slots of their own, 40 bytes each.

const ABSENCE_PARTS: u32 = 0;
const CAPPED_PARTS: u32 = 0x10000;
const WAITING_PARTS: u32 = 0x80000;
const SAMPLE_PARTS: u32 = 0x100000;

/** The slots are used after the one that they belong to, so that they are never evicted before it. */
function writeLabels(rule: u32, hash: u64, parts: u32, labels: usize, size: usize): void {
  for (let at: usize = 0; at < size; at += SLOT_DATA_SIZE) {
    const slot = findOrAdd(rule, USE_LABELS, parts + <u32>(at / SLOT_DATA_SIZE), hash);
    memory.copy(slot + SLOT_DATA, labels + at, min(size - at, SLOT_DATA_SIZE));
  }
}

/** Copies labels to `target` and returns their size; 0 when a part of them is lost. */
function readLabelParts(rule: u32, hash: u64, parts: u32, target: usize, size: usize): usize {
  for (let at: usize = 0; at < size; at += SLOT_DATA_SIZE) {
    const slot = use(keyOf(rule, USE_LABELS, parts + <u32>(at / SLOT_DATA_SIZE), hash));
    if (slot == 0) return 0;
    memory.copy(target + at, slot + SLOT_DATA, min(size - at, SLOT_DATA_SIZE));
  }
  return size;
}

// ── Windows ─────────────────────────────────────────────────────────────────────────────────────────
// Time is cut into slices of a seventh of the window. An era has the number of its newest slice (u32,
// compared modulo 2^32) and the counts of that slice and the seven before (u16, slice number modulo 8).

const WINDOW_NEWEST = SLOT_DATA;
const WINDOW_COUNTS = SLOT_DATA + 4;
const WINDOW_ERA_SIZE: usize = 4 + 2 * WINDOW_SLICES;
const SLICE_COUNT_MAX: u32 = 0xffff;

function sliceSize(windowMs: i64): i64 {
  return (windowMs + WINDOW_SLICES - 2) / (WINDOW_SLICES - 1);
}

/**
 * Adds a match to the window of a key and returns the count of the window, this match included. The count is exact up
 * to twice the count that the rule asks for, where that is at most EXACT_COUNT_MAX: the times of that many matches are
 * kept. Above it the slices count, and the window may be up to a seventh too long.
 */
export function countInWindow(rule: u32, hash: u64, time: i64, windowMs: i64, wanted: u32): u64 {
  const slot = findOrAdd(rule, USE_WINDOW, 0, hash);
  if (slot == 0) return 1;
  const slices = countSlices(slot, time, windowMs, 1);
  if (wanted > layout.EXACT_COUNT_MAX) return slices;
  const exact = countTimes(rule, hash, slot, time, windowMs, wanted);
  return exact < wanted << 1 ? exact : max(slices, <u64>exact);
}

/**
 * Adds a match to the whole of a key, and to the part of it that `isPart` says. Returns how many the window has of both: the
 * whole in the upper half, the part in the lower. Two windows, one beside the other, see the same times and so have the same slices.
 */
export function countShare(rule: u32, hash: u64, isPart: bool, time: i64, windowMs: i64): u64 {
  const whole = findOrAdd(rule, USE_WINDOW, 0, hash);
  const part = findOrAdd(rule, USE_WINDOW, 1, hash);
  if (whole == 0 || part == 0) return 0;
  const wholeCount = countSlices(whole, time, windowMs, 1) & ~AT_LEAST;
  const partCount = countSlices(part, time, windowMs, <u32>isPart) & ~AT_LEAST;
  const slice = <u32>(time / sliceSize(windowMs));
  if (<u32>load<u16>(countAt(whole, slice)) == SLICE_COUNT_MAX) {
    // A full slice counts half as much from now on: its share stays what it is.
    halve(countAt(whole, slice));
    halve(countAt(part, slice));
  }
  return (wholeCount << 32) | min(partCount, wholeCount);
}

function halve(count: usize): void {
  store<u16>(count, load<u16>(count) >> 1);
}

function countSlices(slot: usize, time: i64, windowMs: i64, added: u32): u64 {
  const sliceMs = sliceSize(windowMs);
  const slice = <u32>(time / sliceMs);
  if (!turnToEra(slot + SLOT_DATA, WINDOW_ERA_SIZE, slice, sliceMs, WINDOW_SLICES)) {
    store<u32>(slot, slice, WINDOW_NEWEST);
    memory.fill(slot + WINDOW_COUNTS, 0, 2 * WINDOW_SLICES);
  }
  const newest = load<u32>(slot, WINDOW_NEWEST);
  for (let next = newest + 1; <i32>(slice - next) >= 0; next++) store<u16>(countAt(slot, next), 0);
  if (<i32>(slice - newest) > 0) store<u32>(slot, slice, WINDOW_NEWEST);
  addCount(countAt(slot, slice), added);
  joinEras(slot);
  let sum: u64 = 0;
  for (let i: u32 = 0; i < <u32>WINDOW_SLICES; i++) {
    const count = <u64>load<u16>(countAt(slot, i));
    sum = (sum + count) | (count == SLICE_COUNT_MAX ? AT_LEAST : 0);
  }
  return sum;
}

// ── The times of the last matches ───────────────────────────────────────────────────────────────────
// Slots of a key, counted by `part`, each with five times (i64; 0: free, as in a new slot, so a time is stored plus
// TIME_BIAS). They are in no order: a late match goes where there is room.

const TIMES: u32 = SLOT_DATA_SIZE / 8;
const TIME_BIAS: i64 = (<i64>1) << 60; // no time that can be written is 0 with it

/**
 * Adds a time and returns how many kept times are in the window that ends at the newest match of its era, including this
 * one. There is room for twice the matches that the rule asks for: an era has the room that it needs, whatever another
 * does, and all of it while there is no other.
 */
function countTimes(rule: u32, hash: u64, window: usize, time: i64, windowMs: i64, wanted: u32): u32 {
  const room: u32 = wanted << 1;
  const end = newestTime(rule, hash, time, windowMs, room);
  let count: u32 = 1;
  let free: usize = 0; // a place that is free, or whose time no era needs any more
  let left: usize = 0; // or whose time has left the window
  let inside: usize = 0; // the place of the oldest time in the window
  let outside: usize = 0; // and of the oldest of another era
  for (let i: u32 = 0, part: u32 = 0; i < room; part++) {
    const slot = findOrAdd(rule, USE_TIMES, part, hash);
    for (let at: u32 = 0; at < TIMES && i < room; at++, i++) {
      const place = slot + SLOT_DATA + ((<usize>at) << 3);
      const kept = load<i64>(place) - TIME_BIAS;
      if (kept == -TIME_BIAS) free = place;
      else if (kept <= end && kept >= end - windowMs) {
        count++;
        if (inside == 0 || kept < load<i64>(inside) - TIME_BIAS) inside = place;
      } else if (!isOfEra(window, kept, windowMs)) free = place;
      else if (kept < end - windowMs && isOfFront(window, kept, windowMs)) left = place;
      else if (outside == 0 || kept < load<i64>(outside) - TIME_BIAS) outside = place;
    }
  }
  if (free == 0) free = left;
  const place = free != 0 ? free : (count > wanted || outside == 0) && inside != 0 ? inside : outside;
  if (place != 0) store<i64>(place, time + TIME_BIAS);
  return min(count, room);
}

/** The newest kept time that is not further from `time` than a window, or `time` itself. */
function newestTime(rule: u32, hash: u64, time: i64, windowMs: i64, room: u32): i64 {
  let newest = time;
  for (let i: u32 = 0, part: u32 = 0; i < room; part++, i += TIMES) {
    const slot = use(keyOf(rule, USE_TIMES, part, hash));
    if (slot == 0) continue;
    for (let at: usize = 0; at < TIMES; at++) {
      const biased = load<i64>(slot + SLOT_DATA + (at << 3));
      const kept = biased - TIME_BIAS;
      if (biased != 0 && kept > newest && kept <= time + windowMs) newest = kept;
    }
  }
  return newest;
}

/** Keeps a time among the last `wanted` ones of a key. */
export function keepTime(rule: u32, hash: u64, time: i64, wanted: u32): void {
  let oldest: usize = 0;
  for (let i: u32 = 0, part: u32 = 0; i < wanted; part++) {
    const slot = findOrAdd(rule, USE_TIMES, part, hash);
    if (slot == 0) return;
    for (let at: u32 = 0; at < TIMES && i < wanted; at++, i++) {
      const place = slot + SLOT_DATA + ((<usize>at) << 3);
      if (oldest == 0 || load<i64>(place) < load<i64>(oldest)) oldest = place; // a free place is older than all
    }
  }
  if (load<i64>(oldest) < time + TIME_BIAS) store<i64>(oldest, time + TIME_BIAS);
}

/** The oldest of the last `wanted` times of a key, or NEVER while there are fewer. What the clock has not reached is now. */
export function oldestTime(rule: u32, hash: u64, wanted: u32): i64 {
  const clock = load<i64>(state, STATE_CLOCK) + TIME_BIAS;
  let oldest = i64.MAX_VALUE;
  newest = NEVER;
  for (let i: u32 = 0, part: u32 = 0; i < wanted; part++) {
    const slot = use(keyOf(rule, USE_TIMES, part, hash));
    if (slot == 0) return NEVER;
    for (let at: u32 = 0; at < TIMES && i < wanted; at++, i++) {
      const place = slot + SLOT_DATA + ((<usize>at) << 3);
      const kept = min(load<i64>(place), clock);
      store<i64>(place, kept);
      oldest = min(oldest, kept);
      if (kept != 0) newest = max(newest, kept - TIME_BIAS);
    }
  }
  return oldest == 0 ? NEVER : oldest - TIME_BIAS;
}

let newest: i64 = NEVER;

/** The newest of the times that `oldestTime` looked at. */
export function newestOfTimes(): i64 {
  return newest;
}

/** How many of the last `wanted` times of a key are after `start`, and not after `end`. */
export function countKept(rule: u32, hash: u64, wanted: u32, start: i64, end: i64): u32 {
  let count: u32 = 0;
  for (let i: u32 = 0, part: u32 = 0; i < wanted; part++, i += TIMES) {
    const slot = use(keyOf(rule, USE_TIMES, part, hash));
    if (slot == 0) break;
    for (let at: usize = 0; at < TIMES; at++) {
      const kept = load<i64>(slot + SLOT_DATA + (at << 3)) - TIME_BIAS;
      if (kept > start && kept <= end) count++;
    }
  }
  return count;
}

/** Whether one of the window's eras has slices for a time. */
function isOfEra(window: usize, time: i64, windowMs: i64): bool {
  const other = load<u32>(window + SLOT_DATA + WINDOW_ERA_SIZE);
  return isOfFront(window, time, windowMs) || other - <u32>(time / sliceSize(windowMs)) < <u32>WINDOW_SLICES;
}

function isOfFront(window: usize, time: i64, windowMs: i64): bool {
  return load<u32>(window + SLOT_DATA) - <u32>(time / sliceSize(windowMs)) < <u32>WINDOW_SLICES;
}

function countAt(slot: usize, slice: u32): usize {
  return slot + WINDOW_COUNTS + ((<usize>(slice % WINDOW_SLICES)) << 1);
}

function addCount(at: usize, count: u32): void {
  store<u16>(at, min(<u32>load<u16>(at) + count, SLICE_COUNT_MAX));
}

function isNear(slice: u32, other: u32, sliceCount: i32): bool {
  const distance = <i32>(slice - other);
  return distance > -sliceCount && distance < sliceCount;
}

/**
 * Moves the era of a slice to the front; an era begins with the number of its newest slice. False when the slice
 * belongs to none: then the era in front has to begin again.
 */
function turnToEra(front: usize, eraSize: usize, slice: u32, sliceMs: i64, sliceCount: i32): bool {
  const newest = load<u32>(front);
  const other = load<u32>(front + eraSize);
  const belongs = isNear(slice, newest, sliceCount);
  if (isNear(slice, other, sliceCount) ? belongs && <i32>(other - newest) <= 0 : belongs) return true;
  const hasMovedOn = <i64>(slice - newest) * sliceMs <= CLOCK_GAP_MS;
  if (hasMovedOn && !isNear(slice, other, sliceCount)) return false;
  swapEras(front, eraSize);
  return isNear(slice, other, sliceCount);
}

/** Joins two eras when a late clock has caught up: what the other counted within this one's window belongs to it. */
function joinEras(slot: usize): void {
  const newest = load<u32>(slot, WINDOW_NEWEST);
  const other = load<u32>(slot + WINDOW_ERA_SIZE, WINDOW_NEWEST);
  if (newest - other >= <u32>WINDOW_SLICES) return;
  for (let slice = newest - WINDOW_SLICES + 1; <i32>(other - slice) >= 0; slice++) {
    const count = countAt(slot + WINDOW_ERA_SIZE, slice);
    addCount(countAt(slot, slice), load<u16>(count));
    store<u16>(count, 0);
  }
}

// ── Distinct values in a window ─────────────────────────────────────────────────────────────────────
// Slots of a key, counted by `part`, each with five pairs of u32: a value's hash (0: none) and its slice. The
// very first pair holds the newest slices of two eras instead.

const PAIRS: u32 = SLOT_DATA_SIZE / 8;
const PARTS_MAX: u32 = layout.DISTINCT_COUNT_MAX / PAIRS + 1;

/** Adds a value and returns how many different ones the window holds, at most DISTINCT_COUNT_MAX. */
export function countDistinct(rule: u32, hash: u64, value: u64, time: i64, windowMs: i64): u64 {
  let slot = findOrAdd(rule, USE_DISTINCT, 0, hash);
  if (slot == 0) return 1;
  // Nothing is counted by slice here, so slices can be so fine that the window is exact to a millionth of it.
  const sliceMs = max(windowMs >> 20, 1);
  const sliceCount = <i32>(windowMs / sliceMs) + 1;
  const slice = <u32>(time / sliceMs);
  const eras = slot + SLOT_DATA;
  if (!turnToEra(eras, 4, slice, sliceMs, sliceCount) || <i32>(slice - load<u32>(eras)) > 0)
    store<u32>(eras, slice);
  const newest = load<u32>(eras);
  const other = load<u32>(eras, 4);
  const wanted = max(<u32>(value ^ (value >>> 32)), 1);
  let free: usize = 0; // the first pair that no era needs
  let spare: usize = 0; // a pair that this era does not need
  let known: bool = false;
  let count: u64 = 0;
  for (let part: u32 = 1; slot != 0; part++) {
    for (let i: u32 = part == 1 ? 1 : 0; i < PAIRS; i++) {
      const pair = slot + SLOT_DATA + ((<usize>i) << 3);
      const at = load<u32>(pair, 4);
      if (load<u32>(pair) == 0) {
        if (free == 0) free = pair;
      } else if (newest - at >= <u32>sliceCount) {
        if (free == 0 && other - at >= <u32>sliceCount) free = pair;
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
        ? use(keyOf(rule, USE_DISTINCT, part, hash))
        : findOrAdd(rule, USE_DISTINCT, part, hash);
  }
  if (free == 0) free = spare;
  if (!known && free != 0) {
    store<u32>(free, wanted);
    store<u32>(free, slice, 4);
    count++;
  }
  return min(count, layout.DISTINCT_COUNT_MAX);
}

// ── First seen ──────────────────────────────────────────────────────────────────────────────────────
// A combination of labels has eras as a cool-down has, of all its matches. A rule has a time since when its combinations are
// known (i64, NEVER: not yet). That is a time of the clock, so that no record alone ends the time to learn.

/** Notes a match. True when its combination was not seen for `forMs`, and the rule's are known for longer than `learnMs`. */
export function isNew(rule: u32, hash: u64, time: i64, forMs: i64, learnMs: i64): bool {
  const since = watchRule(rule);
  const slot = erasOf(rule, USE_SEEN, hash);
  if (slot == 0 || since == NEVER) return false;
  const isKnown = isCooling(slot, time, forMs);
  startCooling(slot, time, forMs);
  return !isKnown && load<i64>(state, STATE_CLOCK) - since >= learnMs;
}

/** Since when the combinations of a rule are known, or NEVER. */
export function watchedSince(rule: u32): i64 {
  const slot = use(keyOf(rule, USE_WATCHED, 0, 0));
  return slot == 0 ? NEVER : load<i64>(slot, SLOT_DATA);
}

/** Notes that the combinations of a rule are known from now on, if they are not already. Returns since when, or NEVER. */
export function watchRule(rule: u32): i64 {
  const slot = findOrAdd(rule, USE_WATCHED, 0, 0);
  if (slot == 0) return NEVER;
  const clock = load<i64>(state, STATE_CLOCK);
  const since = wasAdded ? clock : min(load<i64>(slot, SLOT_DATA), clock); // a clock that was wrong may have gone back
  store<i64>(slot, since, SLOT_DATA);
  return since;
}

/** Sets since when the combinations of a rule are known. */
export function restoreWatch(rule: u32, since: i64): void {
  const slot = findOrAdd(rule, USE_WATCHED, 0, 0);
  if (slot != 0) store<i64>(slot, since, SLOT_DATA);
}

/** Whether this says since when a rule's combinations are known. It is never the one used longest ago. */
export function isWatch(link: u32): bool {
  const slot = slotAt(link);
  if ((load<u32>(slot, SLOT_USE) & USE_MASK) != USE_WATCHED) return false;
  touch(slot, link);
  return true;
}

// ── Sequences ───────────────────────────────────────────────────────────────────────────────────────
// A match takes a chain from place to place; the last place is not kept. A place has the time at which the chain that
// reached it began (i64 plus TIME_BIAS; 0: none), and how much later it was reached (u32): three places a slot, counted
// by `part`. The chain that began last is kept. In a set a place has only the time of a match.
// The slots of a second era come from ERA_PARTS on. In the first slot, a u32 at the end says which era began a chain last.
// Where there is a lead, place 0 has the era's newest time instead, and how much before it the sequence was barred last.

const PLACE_SIZE: usize = 12;
const PLACES: u32 = 3;
const ERA_PARTS: u32 = 0x8000;
const SEQUENCE_LAST = SLOT_DATA + 36;
const NOT_BARRED: u32 = u32.MAX_VALUE;

/** The address of a place, 0 when it was never reached; `adds`: then it gets room. */
function placeOf(rule: u32, hash: u64, era: u32, place: u32, adds: bool): usize {
  const part = era * ERA_PARTS + place / PLACES;
  const slot = adds ? findOrAdd(rule, USE_SEQUENCE, part, hash) : use(keyOf(rule, USE_SEQUENCE, part, hash));
  return slot == 0 ? 0 : slot + SLOT_DATA + <usize>(place % PLACES) * PLACE_SIZE;
}

function beganAt(place: usize): i64 {
  return place == 0 || load<i64>(place) == 0 ? NEVER : load<i64>(place) - TIME_BIAS;
}

function setPlace(place: usize, began: i64, time: i64): void {
  if (place == 0) return;
  store<i64>(place, began + TIME_BIAS);
  store<u32>(place, <u32>(time - began), 8);
}

/**
 * A record met a step (SEQUENCE_…) that must be met. Returns when the chain began that has reached the last place with
 * it, or NEVER. `end` is the count of places, `lead` that of places before the first step's (0 or 1).
 */
export function advanceSequence(
  rule: u32,
  hash: u64,
  step: usize,
  end: u32,
  lead: u32,
  time: i64,
  windowMs: i64,
): i64 {
  const first = <u32>load<u16>(step, layout.SEQUENCE_PLACE);
  // The last place comes first: a match takes no chain two places further.
  for (let place = first + <u32>load<u16>(step, layout.SEQUENCE_COUNT) - 1; place > lead; place--) {
    if (place < first) return NEVER;
    for (let era: u32 = 0; era < 2; era++) {
      const began = beganBefore(rule, hash, era, place, time, windowMs);
      if (began == NEVER) continue;
      if (place == end - 1) {
        clearPlaces(rule, hash, era, lead, end);
        return began;
      }
      reach(placeOf(rule, hash, era, place, true), began, time);
    }
  }
  if (first > lead) return NEVER;
  if (lead == 0 && end == 1) return time;
  const era = eraOf(rule, hash, lead, end, time, windowMs);
  if (lead != 0 && isBarred(placeOf(rule, hash, era, 0, true), time, windowMs)) return NEVER;
  if (end == lead + 1) return time;
  const place = placeOf(rule, hash, era, lead, true);
  if (time >= beganAt(place)) setPlace(place, time, time);
  return NEVER;
}

/** When the chain began that waits before a place and can go on at `time`, or NEVER. */
function beganBefore(rule: u32, hash: u64, era: u32, place: u32, time: i64, windowMs: i64): i64 {
  const before = placeOf(rule, hash, era, place - 1, false);
  const began = beganAt(before);
  if (began == NEVER || time - began > windowMs || time < began + <i64>load<u32>(before, 8)) return NEVER;
  return began;
}

/** A chain reaches a place, unless one that began later, or as late and was faster, has reached it. */
function reach(place: usize, began: i64, time: i64): void {
  const known = beganAt(place);
  if (known < began || (known == began && time - began < <i64>load<u32>(place, 8)))
    setPlace(place, began, time);
}

/** A match takes back the chains that wait at the places `from` up to `end`. */
export function takeBack(rule: u32, hash: u64, from: u32, end: u32, time: i64, windowMs: i64): void {
  for (let era: u32 = 0; era < 2; era++) {
    // A chain that waits before the next place is one that could go on.
    for (let place = from + 1; place <= end; place++) {
      if (beganBefore(rule, hash, era, place, time, windowMs) != NEVER)
        clearPlaces(rule, hash, era, place - 1, place);
    }
  }
}

function clearPlaces(rule: u32, hash: u64, era: u32, from: u32, end: u32): void {
  for (let place = from; place < end; place++) {
    const at = placeOf(rule, hash, era, place, false);
    if (at != 0) store<i64>(at, 0);
  }
}

/** The era to which a chain belongs that begins at `time`. A new one begins where no chain waits, or in the one used longer ago. */
function eraOf(rule: u32, hash: u64, lead: u32, end: u32, time: i64, windowMs: i64): u32 {
  const slot = findOrAdd(rule, USE_SEQUENCE, 0, hash);
  if (slot == 0) return 0;
  const own = slot + SLOT_DATA;
  const other = placeOf(rule, hash, 1, 0, false);
  let era: u32 = isOfChain(own, time, windowMs) ? 0 : 1;
  if (era == 1 && !isOfChain(other, time, windowMs)) {
    era =
      beganAt(own) == NEVER
        ? 0
        : beganAt(other) == NEVER && other != 0
          ? 1
          : load<u32>(slot, SEQUENCE_LAST) ^ 1;
    clearPlaces(rule, hash, era, 0, end);
  }
  store<u32>(slot, era, SEQUENCE_LAST);
  if (lead != 0) moveLead(placeOf(rule, hash, era, 0, true), time);
  return era;
}

function isOfChain(place: usize, time: i64, windowMs: i64): bool {
  const began = beganAt(place);
  return began != NEVER && time >= began - windowMs && time <= began + max(windowMs, CLOCK_GAP_MS);
}

// ── Barred sequences: nothing begins for a window after a match of the first `unless` ───────────────

/** A match says that nothing may begin from `time` on. */
export function barSequence(rule: u32, hash: u64, end: u32, time: i64, windowMs: i64): void {
  const lead = placeOf(rule, hash, eraOf(rule, hash, 1, end, time, windowMs), 0, true);
  if (lead == 0) return;
  const ago = <u32>(beganAt(lead) - time);
  if (ago < load<u32>(lead, 8)) store<u32>(lead, ago, 8);
}

function moveLead(lead: usize, time: i64): void {
  if (lead == 0) return;
  const newest = beganAt(lead);
  if (newest == NEVER) {
    setPlace(lead, time, time);
    store<u32>(lead, NOT_BARRED, 8);
  } else if (time > newest) {
    const ago = load<u32>(lead, 8);
    const later = <i64>ago + (time - newest);
    store<i64>(lead, time + TIME_BIAS);
    store<u32>(lead, <u32>min(later, <i64>NOT_BARRED), 8);
  }
}

function isBarred(lead: usize, time: i64, windowMs: i64): bool {
  if (lead == 0 || load<u32>(lead, 8) == NOT_BARRED) return false;
  const since = time - (beganAt(lead) - <i64>load<u32>(lead, 8));
  return since >= 0 && since <= windowMs;
}

// ── Sets ────────────────────────────────────────────────────────────────────────────────────────────

/** A record met a step of a set. True when the last matches of all steps are within the window: then it begins again. */
export function addToSet(rule: u32, hash: u64, step: usize, end: u32, time: i64, windowMs: i64): bool {
  const era = eraOf(rule, hash, 1, end, time, windowMs);
  let place = <u32>load<u16>(step, layout.SEQUENCE_PLACE);
  let oldest = placeOf(rule, hash, era, place, true);
  if (oldest == 0) return false;
  for (let left = <u32>load<u16>(step, layout.SEQUENCE_COUNT); --left != 0;) {
    const other = placeOf(rule, hash, era, ++place, true);
    if (beganAt(other) < beganAt(oldest)) oldest = other;
  }
  if (time >= beganAt(oldest)) setPlace(oldest, time, time);
  let low = i64.MAX_VALUE;
  let high = NEVER;
  for (place = 1; place < end; place++) {
    const met = beganAt(placeOf(rule, hash, era, place, false));
    if (met == NEVER) return false;
    low = min(low, met);
    high = max(high, met);
  }
  if (high - low > windowMs) return false;
  clearPlaces(rule, hash, era, 0, end);
  return true;
}

// ── Sequences that wait for their end ───────────────────────────────────────────────────────────────
// All steps were met, and an `unless` comes after them: when the chain began (i64 plus TIME_BIAS; 0: nothing waits), how
// much later the last step was met (u32), and the size of what is kept for the alert (u32).

const WAITING_BEGAN = SLOT_DATA;
const WAITING_REACHED = SLOT_DATA + 8;
const WAITING_KEPT_SIZE = SLOT_DATA + 12;

/** A sequence begins to wait, unless one waits that began earlier. */
export function beginWaiting(
  rule: u32,
  hash: u64,
  began: i64,
  time: i64,
  windowMs: i64,
  kept: usize,
  keptSize: usize,
): void {
  const slot = findOrAdd(rule, USE_WAITING, 0, hash);
  if (slot == 0) return;
  const known = beganAt(slot + WAITING_BEGAN);
  if (known != NEVER) {
    // Of two that are far apart one is from a wrong clock: the one that waits, if it is ahead of the clock.
    const isFar = known - began > max(windowMs, CLOCK_GAP_MS);
    if (began >= known || (isFar && known <= clockTime() + CLOCK_GAP_MS)) return;
  }
  setPlace(slot + WAITING_BEGAN, began, time);
  store<u32>(slot, <u32>keptSize, WAITING_KEPT_SIZE);
  lookAgainAt(began + windowMs);
  writeLabels(rule, hash, WAITING_PARTS, kept, keptSize);
}

/** The sequence of a key that waits, as a link, or 0. */
export function waitingOf(rule: u32, hash: u64): u32 {
  const slot = use(keyOf(rule, USE_WAITING, 0, hash));
  return slot == 0 || load<i64>(slot, WAITING_BEGAN) == 0 ? 0 : linkOf(slot);
}

/** Whether this is a sequence that waits, and no absence. */
export function isWaiting(link: u32): bool {
  return (load<u32>(slotAt(link), SLOT_USE) & USE_MASK) == USE_WAITING;
}

export function waitingHash(link: u32): u64 {
  return hashOf(slotAt(link));
}

export function waitingSince(link: u32): i64 {
  return beganAt(slotAt(link) + WAITING_BEGAN);
}

/** Whether a match at `time` is the end that the sequence waits for. */
export function isAwaited(link: u32, time: i64, windowMs: i64): bool {
  const began = waitingSince(link);
  return time >= began + <i64>load<u32>(slotAt(link), WAITING_REACHED) && time - began <= windowMs;
}

export function endWaiting(link: u32): void {
  store<i64>(slotAt(link), 0, WAITING_BEGAN);
}

/** Copies what was kept for the alert to `target` and returns its size; 0 when it is lost. */
export function readWaiting(link: u32, target: usize): usize {
  const slot = slotAt(link);
  const size = <usize>load<u32>(slot, WAITING_KEPT_SIZE);
  return readLabelParts(slotRule(link), hashOf(slot), WAITING_PARTS, target, size);
}

// ── Samples ─────────────────────────────────────────────────────────────────────────────────────────
// Texts of the matches of a key since its last alert. Time is cut into slices, and the first texts of two slices are kept, and
// the last of all: so what an alert shows depends on the hits of two slices only, which a restart finds again. A slot has, for
// an even and an odd slice, its number and its count of matches (u32 each), and the count of all matches since the last alert
// (u32). A text is in slots of its own, after the number of its slice (u32) and its size (u16).

const SAMPLES_SLICE = SLOT_DATA;
const SAMPLES_COUNT = SLOT_DATA + 4;
const SAMPLES_ALL = SLOT_DATA + 16;
const SAMPLE_HEAD: usize = 6;
/** Bytes that a text and its head take. */
export const SAMPLE_BLOCK_SIZE: usize = SAMPLE_HEAD + layout.SAMPLE_SIZE_MAX + SLOT_DATA_SIZE;
const SAMPLE_SLOTS: u32 = 8;
const LAST_PLACE: u32 = 2 * layout.SAMPLE_COUNT_MAX;

/** Keeps the text of a match; `block` has SAMPLE_BLOCK_SIZE bytes, to work in. */
export function addSample(
  rule: u32,
  hash: u64,
  slice: u32,
  first: u32,
  last: u32,
  text: usize,
  size: usize,
  block: usize,
): void {
  const slot = findOrAdd(rule, USE_SAMPLES, 0, hash);
  if (slot == 0) return;
  const half = slot + ((<usize>(slice & 1)) << 3);
  if (load<u32>(half, SAMPLES_SLICE) != slice) {
    store<u32>(half, slice, SAMPLES_SLICE);
    store<u32>(half, 0, SAMPLES_COUNT);
  }
  const count = load<u32>(half, SAMPLES_COUNT);
  const all = load<u32>(slot, SAMPLES_ALL);
  store<u32>(half, count + 1, SAMPLES_COUNT);
  store<u32>(slot, all + 1, SAMPLES_ALL);
  if (count < first)
    writeSample(rule, hash, (slice & 1) * layout.SAMPLE_COUNT_MAX + count, slice, text, size, block);
  if (last != 0) writeSample(rule, hash, LAST_PLACE + (all % last), slice, text, size, block);
}

/** Matches of a slice since the last alert. */
export function sampleCount(rule: u32, hash: u64, slice: u32): u32 {
  const slot = use(keyOf(rule, USE_SAMPLES, 0, hash));
  if (slot == 0) return 0;
  const half = slot + ((<usize>(slice & 1)) << 3);
  return load<u32>(half, SAMPLES_SLICE) == slice ? load<u32>(half, SAMPLES_COUNT) : 0;
}

/** Copies the text of the match `index` of a slice to `block`, and returns its size; 0 when it is not kept. */
export function readFirst(rule: u32, hash: u64, slice: u32, index: u32, block: usize): usize {
  return readSample(rule, hash, (slice & 1) * layout.SAMPLE_COUNT_MAX + index, block);
}

/** Like `readFirst`, for the match that is `back` before the last one; nothing of another slice than this one or the one before. */
export function readLast(rule: u32, hash: u64, slice: u32, back: u32, last: u32, block: usize): usize {
  const slot = use(keyOf(rule, USE_SAMPLES, 0, hash));
  if (slot == 0) return 0;
  const all = load<u32>(slot, SAMPLES_ALL);
  if (back >= all) return 0;
  const size = readSample(rule, hash, LAST_PLACE + ((all - 1 - back) % last), block);
  return slice - load<u32>(block) <= 1 ? size : 0;
}

/** An alert showed what was kept. */
export function clearSamples(rule: u32, hash: u64): void {
  const slot = use(keyOf(rule, USE_SAMPLES, 0, hash));
  if (slot != 0) memory.fill(slot + SLOT_DATA, 0, SLOT_DATA_SIZE);
}

/** Keeps a text in a place of its own. */
export function writeSample(
  rule: u32,
  hash: u64,
  place: u32,
  slice: u32,
  text: usize,
  size: usize,
  block: usize,
): void {
  store<u32>(block, slice);
  store<u16>(block, <u16>size, 4);
  memory.copy(block + SAMPLE_HEAD, text, size);
  writeLabels(rule, hash, SAMPLE_PARTS + place * SAMPLE_SLOTS, block, SAMPLE_HEAD + size);
}

/** Copies the text of a place to `block`, after its head, and returns its size; 0 when it is lost. */
export function readSample(rule: u32, hash: u64, place: u32, block: usize): usize {
  const parts = SAMPLE_PARTS + place * SAMPLE_SLOTS;
  if (readLabelParts(rule, hash, parts, block, SAMPLE_HEAD) == 0) return 0;
  const size = <usize>load<u16>(block, 4);
  return readLabelParts(rule, hash, parts, block, SAMPLE_HEAD + size) == 0 ? 0 : size;
}

/** Where a text begins in its block. */
export function sampleText(block: usize): usize {
  return block + SAMPLE_HEAD;
}

// ── Absence ─────────────────────────────────────────────────────────────────────────────────────────
// When the key was seen last (i64; when the last matches that were enough began, if more than one is wanted), since when it is missing (i64, NEVER: it is not), the size of its labels' values
// (u32), the hash of the key (u64), and the earliest time at which a record ahead of the clock claims to have seen it
// (i64): that counts once the clock has reached it. One u32 more: for a missing key, how many seconds later an alert last
// said so; for any other, how many milliseconds after that earliest time the last claim is.
// A new key whose record is ahead of the clock was not seen at the clock's time: a bit of the size says so, until the
// claim counts or the key is seen again.
//
// The label set of a rule that resolves has such a key, too, when it was in trouble: then it is missing when the trouble is
// over. Since when it is in trouble is where the other has since when it is missing; NEVER: it is over.

const SEEN_IS_CLOCK: u32 = 1 << 31;
const ABSENCE_SEEN = SLOT_DATA;
const ABSENCE_SINCE = SLOT_DATA + 8;
const ABSENCE_LABELS_SIZE = SLOT_DATA + 16;
const ABSENCE_TOLD = SLOT_DATA + 20;
const ABSENCE_REACH = ABSENCE_TOLD;
const ABSENCE_HASH = SLOT_DATA + 24;
const ABSENCE_CLAIMED = SLOT_DATA + 32;

// A record further away from the clock than this, ahead or behind, is not believed at once: one clock among many is
// wrong. It is believed when the stream goes on from there: with LEAP_COUNT records in a row that are near it, or with
// one that is further ahead by more than this. A record near the clock says that the others were wrong.
const LEAP_MS: i64 = 3600 * 1000;
const LEAP_COUNT: u32 = 8;

/** A record says that the stream has reached `time`. */
export function moveClock(time: i64): void {
  const clock = load<i64>(state, STATE_CLOCK);
  if (clock == NEVER || isWithinLeap(time, clock)) {
    store<i64>(state, max(time, clock), STATE_CLOCK);
    store<u32>(state, 0, STATE_LEAP_COUNT);
    return;
  }
  const claimed = load<i64>(state, STATE_LEAP_TIME);
  if (isClaimAhead(clock) && time - claimed > LEAP_MS) {
    leap(claimed);
    claimLeap(time, 1);
    return;
  }
  const count = isWithinLeap(time, claimed) ? load<u32>(state, STATE_LEAP_COUNT) + 1 : 1;
  claimLeap(time, count);
  if (count >= LEAP_COUNT) leap(time);
}

function claimLeap(time: i64, count: u32): void {
  store<i64>(state, time, STATE_LEAP_TIME);
  store<u32>(state, count, STATE_LEAP_COUNT);
}

function isClaimAhead(clock: i64): bool {
  return load<u32>(state, STATE_LEAP_COUNT) != 0 && load<i64>(state, STATE_LEAP_TIME) > clock;
}

function isWithinLeap(time: i64, other: i64): bool {
  return time - other <= LEAP_MS && other - time <= LEAP_MS;
}

/** The host says that the time is `time`, and is believed. Small steps back are ignored: its clock may jitter. */
export function setClock(time: i64): void {
  const clock = load<i64>(state, STATE_CLOCK);
  if (time > clock || !isWithinLeap(time, clock)) leap(time);
  store<u32>(state, 0, STATE_LEAP_COUNT);
}

/** The stream has ended: the time in its last records is all that is known, and is believed. */
export function endClock(): void {
  if (isClaimAhead(load<i64>(state, STATE_CLOCK))) leap(load<i64>(state, STATE_LEAP_TIME));
}

/** Sets the clock. When it was wrong and goes back, the absences have to be checked: `settleSeen` corrects them. */
function leap(time: i64): void {
  store<i64>(state, time, STATE_CLOCK);
  store<u32>(state, 0, STATE_LEAP_COUNT);
  lookAgainAt(time);
}

export function clockTime(): i64 {
  return load<i64>(state, STATE_CLOCK);
}

/** True when an absence may have fallen due; never while records say that the clock is ahead of the stream. */
export function mayBeDue(): bool {
  const clock = load<i64>(state, STATE_CLOCK);
  if (clock == NEVER || load<i64>(state, STATE_NEXT_DUE) > clock) return false;
  return load<u32>(state, STATE_LEAP_COUNT) == 0 || isClaimAhead(clock);
}

/** The absence of a key, as a link, or 0 when the key is new. */
export function absenceOf(rule: u32, hash: u64): u32 {
  const slot = use(keyOf(rule, USE_ABSENCE, 0, hash));
  return slot == 0 ? 0 : linkOf(slot);
}

/** Since when the key is missing, or NEVER when no alert said so. */
export function missingSince(link: u32): i64 {
  return load<i64>(slotAt(link), ABSENCE_SINCE);
}

export function absenceHash(link: u32): u64 {
  return load<u64>(slotAt(link), ABSENCE_HASH);
}

/** When an alert last said that the key is missing. */
export function missingTold(link: u32): i64 {
  return missingSince(link) + <i64>load<u32>(slotAt(link), ABSENCE_TOLD) * 1000;
}

/**
 * Notes that a record of `time` has seen a key: the window begins at `seen`, which the clock has reached. `labels` are the
 * values that an alert of it will need.
 */
export function seeKey(
  rule: u32,
  hash: u64,
  time: i64,
  seen: i64,
  windowMs: i64,
  labels: usize,
  labelsSize: usize,
): void {
  const slot = findOrAdd(rule, USE_ABSENCE, 0, hash);
  if (slot == 0) return;
  if (wasAdded) {
    store<i64>(slot, NEVER, ABSENCE_SEEN);
    store<i64>(slot, NEVER, ABSENCE_CLAIMED);
    store<i64>(slot, NEVER, ABSENCE_SINCE);
  }
  const isNew = wasAdded || (load<u32>(slot, ABSENCE_LABELS_SIZE) & SEEN_IS_CLOCK) != 0;
  const isAhead = time > load<i64>(state, STATE_CLOCK);
  seeAgain(linkOf(slot), time, seen);
  store<u32>(slot, (<u32>labelsSize) | (isNew && isAhead ? SEEN_IS_CLOCK : 0), ABSENCE_LABELS_SIZE);
  store<u64>(slot, hash, ABSENCE_HASH);
  lookAgainAt(seen + windowMs);
  writeLabels(rule, hash, ABSENCE_PARTS, labels, labelsSize);
}

/** Like `seeKey`, for a key whose labels are kept. */
export function seeAgain(link: u32, time: i64, seen: i64): void {
  const slot = slotAt(link);
  // A time that is not believed must not make the key look alive until then.
  const clock = load<i64>(state, STATE_CLOCK);
  const claimed = load<i64>(slot, ABSENCE_CLAIMED);
  store<i64>(slot, seen, ABSENCE_SEEN);
  if (time > clock) claimSeen(slot, time, claimed <= clock ? time : claimed);
}

/** A record ahead of the clock claims to have seen the key; the claims before it begin at `claimed`. */
function claimSeen(slot: usize, time: i64, claimed: i64): void {
  // Claims that are far apart are from two clocks: the one that is further ahead is wrong.
  const isAlone = claimed == time || claimed - time > LEAP_MS;
  const reach = isAlone ? time : max(time, claimed + <i64>load<u32>(slot, ABSENCE_REACH));
  const first = min(time, claimed);
  store<i64>(slot, first, ABSENCE_CLAIMED);
  store<u32>(slot, <u32>min(reach - first, <i64>u32.MAX_VALUE), ABSENCE_REACH);
}

/** Begins to go through the absences: for each that stays the caller says when to look again. */
export function beginDue(): void {
  store<i64>(state, i64.MAX_VALUE, STATE_NEXT_DUE);
}

/** Whether this is a key of an absence or a trouble. */
export function isKeyOfClock(link: u32): bool {
  return (load<u32>(slotAt(link), SLOT_USE) & USE_MASK) == USE_ABSENCE;
}

/** The next absence, trouble, or sequence that waits, from `link` on, or 0. */
export function nextAbsence(link: u32): u32 {
  const used = load<u32>(state, STATE_USED_COUNT);
  for (; link <= used; link++) {
    if (isKeyOfClock(link) || (isWaiting(link) && waitingSince(link) != NEVER)) return link;
  }
  return 0;
}

/** False when nobody saw the key at the time that `lastSeen` returns. */
export function wasSeen(link: u32): bool {
  return (load<u32>(slotAt(link), ABSENCE_LABELS_SIZE) & SEEN_IS_CLOCK) == 0;
}

/** When a key was seen last. What records ahead of the clock claimed is not in it: see `claimedSeen` and `settleSeen`. */
export function lastSeen(link: u32): i64 {
  return load<i64>(slotAt(link), ABSENCE_SEEN);
}

/** When records claimed to see the key, if the clock has reached it; else NEVER. */
export function claimedSeen(link: u32): i64 {
  const claimed = load<i64>(slotAt(link), ABSENCE_CLAIMED);
  return claimed <= load<i64>(state, STATE_CLOCK) ? claimed : NEVER;
}

/** Brings what is known of a key in line with the clock as it is believed now, and returns when it was seen last. */
export function settleSeen(link: u32): i64 {
  const slot = slotAt(link);
  const clock = load<i64>(state, STATE_CLOCK);
  const claimed = load<i64>(slot, ABSENCE_CLAIMED);
  let seen = load<i64>(slot, ABSENCE_SEEN);
  if (seen > clock) {
    store<i64>(slot, seen, ABSENCE_CLAIMED);
    seen = clock;
  } else if (claimed > seen && claimed <= clock) {
    seen = min(claimed + <i64>load<u32>(slot, ABSENCE_REACH), clock);
    store<u32>(slot, load<u32>(slot, ABSENCE_LABELS_SIZE) & ~SEEN_IS_CLOCK, ABSENCE_LABELS_SIZE);
  }
  store<i64>(slot, seen, ABSENCE_SEEN);
  return seen;
}

/** Notes that an absence may fall due at `time`. */
export function lookAgainAt(time: i64): void {
  if (time < load<i64>(state, STATE_NEXT_DUE)) store<i64>(state, time, STATE_NEXT_DUE);
}

/** Notes that the key is missing since `since`, and that an alert said so at `told`. */
export function markMissing(link: u32, since: i64, told: i64): void {
  const slot = slotAt(link);
  store<i64>(slot, since, ABSENCE_SINCE);
  store<u32>(slot, <u32>((max(told - since, 0) + 999) / 1000), ABSENCE_TOLD); // rounded up: not before the alert
}

/** Notes since when the label set of a key is in trouble. */
export function setTrouble(link: u32, since: i64): void {
  store<i64>(slotAt(link), since, ABSENCE_SINCE);
}

/** Notes that the key is no longer missing, or the trouble over. */
export function endMissing(link: u32): void {
  store<i64>(slotAt(link), NEVER, ABSENCE_SINCE);
  store<u32>(slotAt(link), 0, ABSENCE_REACH);
}

/** Copies the label values of an absence to `target` and returns their size; 0 when they are lost. */
export function readLabels(link: u32, target: usize): usize {
  const slot = slotAt(link);
  const size = <usize>(load<u32>(slot, ABSENCE_LABELS_SIZE) & ~SEEN_IS_CLOCK);
  return readLabelParts(slotRule(link), load<u64>(slot, ABSENCE_HASH), ABSENCE_PARTS, target, size);
}
