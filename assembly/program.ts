// A pattern's program and the sets that it refers to: what `nfa` and `lazy`, which run programs, have in common.
// The text is valid UTF-8: `record` made sure of that.
import * as layout from './layout';

let ruleset: usize = 0;
let sets: usize = 0;

/** Uses the sets of the ruleset at `base`. */
export function useSets(base: usize): void {
  ruleset = base;
  sets = base + load<u32>(base, layout.HEADER_SETS_OFFSET);
}

export function setAt(index: u32): usize {
  return sets + <usize>index * layout.SET_SIZE;
}

export function isInSet(index: u32, code: u32): bool {
  const set = setAt(index);
  if (code < 0x80) return (load<u32>(set + <usize>((code >>> 5) << 2)) & (1 << (code & 31))) != 0;
  const ranges = ruleset + load<u32>(set, layout.SET_RANGES_OFFSET);
  let low: u32 = 0;
  let high = load<u32>(set, layout.SET_RANGE_COUNT);
  while (low < high) {
    const middle = (low + high) >>> 1;
    const range = ranges + ((<usize>middle) << 3);
    if (code < load<u32>(range)) high = middle;
    else if (code > load<u32>(range, 4)) low = middle + 1;
    else return true;
  }
  return false;
}

/** Bytes of the UTF-8 sequence that begins with this byte. */
export function sequenceSizeOf(lead: u32): usize {
  return lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

export function isWordByte(byte: u32): bool {
  return byte - 0x30 < 10 || (byte | 0x20) - 0x61 < 26 || byte == 0x5f;
}
