// The ruleset's header: read and checked once, at the start; every offset in it is trusted from then on,
// because the compiler wrote it and the checksum shows that it has not changed since.
import * as layout from './layout';

export const RULESET_OK = 0;
export const RULESET_ABSENT = 1;
export const RULESET_VERSION = 2;
export const RULESET_DAMAGED = 3;

/** One of RULESET_…, for the ruleset at `base` with at most `room` bytes of memory from there on. */
export function checkRuleset(base: usize, room: usize): i32 {
  if (room < layout.HEADER_SIZE || load<u32>(base, layout.HEADER_MAGIC) != layout.MAGIC)
    return RULESET_ABSENT;
  if (load<u32>(base, layout.HEADER_VERSION) != layout.VERSION) return RULESET_VERSION;
  const size = <usize>load<u32>(base, layout.HEADER_SIZE_TOTAL);
  if (size < layout.HEADER_SIZE || size > room || size & 7) return RULESET_DAMAGED;
  if (checksum(base + layout.HEADER_SIZE_TOTAL, base + size) != load<u64>(base, layout.HEADER_CHECKSUM))
    return RULESET_DAMAGED;
  return RULESET_OK;
}

/**
 * 64 bits over the whole words from `at` to `end`. Each step is a bijection of the sum so far and of the
 * word, so two inputs that differ in one word never have the same sum.
 */
export function checksum(at: usize, end: usize): u64 {
  let sum: u64 = 0xcbf29ce484222325;
  for (; at < end; at += 8) {
    sum = (sum ^ load<u64>(at)) * 0x9e3779b97f4a7c15;
    sum ^= sum >>> 29;
  }
  return sum;
}
