// The table under the state: its chains, its list from the newest to the oldest, and what gives way when it is full.
// The region is small, so that a walk over all of it after each step costs nothing.
import * as layout from '../../assembly/layout';
import {
  NEVER,
  STATE_KEY_COUNT,
  STATE_USED_COUNT,
  STATE_NEWEST,
  STATE_OLDEST,
  STATE_HEAD_BITS,
  STATE_HEADER_SIZE,
  SLOT_CHAIN,
  SLOT_NEWER,
  SLOT_OLDER,
  SLOT_SIZE,
  addSuppressed,
  advanceSequence,
  canRestore,
  clearState,
  coolDownOf,
  countDistinct,
  countInWindow,
  evictedCount,
  isCooling,
  placeState,
  startCooling,
  stateAddress,
  stateUsedSize,
  suppressedOf,
  hasRate,
  suppressedOfEvicted,
  takeRate,
} from '../../assembly/state';

const KEY_COUNT: u32 = 8;
const base: usize = memory.data(256, 16);
const steps: usize = memory.data(16, 16);
const region: usize = memory.data(4096, 16);
const copy: usize = memory.data(4096, 16);

/** A step of a sequence that takes one place. */
function stepAt(place: u16): usize {
  const step = steps + place * layout.SEQUENCE_SIZE;
  store<u16>(step, place, layout.SEQUENCE_PLACE);
  store<u16>(step, 1, layout.SEQUENCE_COUNT);
  return step;
}

function begin(): void {
  memory.fill(base, 0, layout.HEADER_SIZE);
  store<u32>(base, KEY_COUNT, layout.HEADER_KEY_COUNT);
  store<u32>(base, 2, layout.HEADER_RATE_COUNT);
  store<u64>(base, 42, layout.HEADER_HASH);
  placeState(base, region);
  clearState(base);
}

function slotsAt(): usize {
  return region + STATE_HEADER_SIZE + ((<usize>4) << load<u32>(region, STATE_HEAD_BITS));
}

function slotAt(link: u32): usize {
  return slotsAt() + <usize>(link - 1) * SLOT_SIZE;
}

/** Every used slot is in the list once, both ways, and in one chain. */
function isWhole(): bool {
  const used = load<u32>(region, STATE_USED_COUNT);
  let count: u32 = 0;
  let newer: u32 = 0;
  let link = load<u32>(region, STATE_NEWEST);
  while (link != 0) {
    if (load<u32>(slotAt(link), SLOT_NEWER) != newer) return false;
    if (++count > used) return false;
    newer = link;
    link = load<u32>(slotAt(link), SLOT_OLDER);
  }
  if (count != used || load<u32>(region, STATE_OLDEST) != newer) return false;
  let chained: u32 = 0;
  for (let head = region + STATE_HEADER_SIZE; head < slotsAt(); head += 4) {
    for (let next = load<u32>(head); next != 0; next = load<u32>(slotAt(next), SLOT_CHAIN)) {
      if (++chained > used) return false;
    }
  }
  return chained == used;
}

describe('the table', () => {
  beforeEach(begin);

  it('is empty at first', () => {
    expect<u32>(load<u32>(region, STATE_KEY_COUNT)).toBe(KEY_COUNT);
    expect<u32>(load<u32>(region, STATE_USED_COUNT)).toBe(0);
    expect<usize>(stateAddress()).toBe(region);
    expect<usize>(stateUsedSize()).toBe(slotsAt() - region);
    expect<bool>(isWhole()).toBe(true);
  });

  it('gives the same slot for the same key, and another for another rule', () => {
    const slot = coolDownOf(0, 7);
    expect<usize>(coolDownOf(0, 7)).toBe(slot);
    expect<usize>(coolDownOf(1, 7)).not.toBe(slot);
    expect<u32>(load<u32>(region, STATE_USED_COUNT)).toBe(2);
    expect<bool>(isWhole()).toBe(true);
  });

  it('takes 64 bytes a key', () => {
    const empty = stateUsedSize();
    for (let i: u64 = 0; i < 5; i++) coolDownOf(0, i);
    expect<usize>(stateUsedSize() - empty).toBe(5 * 64);
  });

  it('gives up the key that was seen longest ago', () => {
    for (let i: u64 = 0; i < 8; i++) startCooling(coolDownOf(0, i), 1000, 10);
    coolDownOf(0, 0); // seen again: now 1 is the oldest
    coolDownOf(0, 8);
    expect<u64>(evictedCount()).toBe(1);
    expect<bool>(isCooling(coolDownOf(0, 0), 1000, 10)).toBe(true);
    for (let i: u64 = 2; i < 8; i++) expect<bool>(isCooling(coolDownOf(0, i), 1000, 10)).toBe(true);
    expect<bool>(isCooling(coolDownOf(0, 1), 1000, 10)).toBe(false);
    expect<bool>(isWhole()).toBe(true);
  });

  it('keeps what an evicted key had suppressed', () => {
    const slot = coolDownOf(3, 100);
    addSuppressed(slot);
    addSuppressed(slot);
    expect<u64>(suppressedOf(3)).toBe(2);
    for (let i: u64 = 0; i < 8; i++) coolDownOf(0, i);
    expect<u64>(suppressedOf(3)).toBe(0);
    expect<u64>(suppressedOfEvicted()).toBe(2);
  });

  it('stays whole through 20,000 random finds', () => {
    let seed: u32 = 1;
    let whole = true;
    for (let i = 0; i < 20000; i++) {
      seed = seed * 1664525 + 1013904223;
      const key = <u64>(seed >>> 24) % 13;
      if (seed & 0x10000) coolDownOf(seed & 1, key);
      else countInWindow(0, key, <i64>i * 100, 7000, 1000);
      whole = whole && isWhole();
    }
    expect<bool>(whole).toBe(true);
    expect<u32>(load<u32>(region, STATE_USED_COUNT)).toBe(KEY_COUNT);
  });

  it('is taken back only by the rules and the size that it had', () => {
    coolDownOf(0, 1);
    const size = stateUsedSize();
    memory.copy(copy, region, size);
    expect<bool>(canRestore(base, copy, size)).toBe(true);
    expect<bool>(canRestore(base, copy, size - 1)).toBe(false);
    expect<bool>(canRestore(base, copy, size + SLOT_SIZE)).toBe(false);
    store<u64>(base, 43, layout.HEADER_HASH);
    expect<bool>(canRestore(base, copy, size)).toBe(false);
  });
});

describe('what a slot holds', () => {
  beforeEach(begin);

  it('begins empty at time 0, too', () => {
    const slot = coolDownOf(0, 1);
    expect<bool>(isCooling(slot, 0, 10)).toBe(false);
    startCooling(slot, 0, 10);
    expect<bool>(isCooling(coolDownOf(0, 1), 0, 10)).toBe(true);
    const first = stepAt(0);
    const second = stepAt(1);
    expect<i64>(advanceSequence(0, 1, first, 2, 0, 0, 10)).toBe(NEVER);
    expect<i64>(advanceSequence(0, 1, second, 2, 0, 0, 10)).toBe(0);
    expect<i64>(advanceSequence(0, 1, second, 2, 0, 0, 10)).toBe(NEVER);
  });

  it('counts a window over the turn of its slice numbers', () => {
    // A window of 7 ms has slices of 1 ms: their numbers turn over at 2^32 ms.
    const turn: i64 = 0x100000000;
    for (let i: i64 = -3; i < 4; i++) countInWindow(0, 1, turn + i, 7, 1000);
    expect<u64>(countInWindow(0, 1, turn, 7, 1000)).toBe(8);
    expect<u64>(countInWindow(0, 1, turn + 5, 7, 1000)).toBe(8);
    for (let i: i64 = -3; i < 4; i++) countDistinct(0, 2, <u64>(i + 10), turn + i, 7);
    expect<u64>(countDistinct(0, 2, 10, turn + 4, 7)).toBe(7);
    expect<u64>(countDistinct(0, 2, 10, turn + 5, 7)).toBe(6);
  });

  it('caps each second by itself', () => {
    for (let i = 0; i < 4; i++) {
      expect<bool>(hasRate(0, 0, 1000)).toBe(i < 2);
      takeRate(0, 0, 1000);
      expect<bool>(hasRate(0, 0, 2000)).toBe(i < 2);
      takeRate(0, 0, 2000);
      expect<bool>(hasRate(0, 0, 1000 + 8 * 3600000)).toBe(i < 2);
      takeRate(0, 0, 1000 + 8 * 3600000);
    }
  });
});
