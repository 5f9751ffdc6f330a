// Small helpers for runs of bytes. Wide loads may read up to 7 bytes after a run: memory keeps SLACK.

const HASH_FACTOR: u64 = 0x9e3779b97f4a7c15;
const ONES: u64 = 0x0101010101010101;
const HIGHS: u64 = 0x8080808080808080;

/** A text as a reference in memory: its address, and its size in the upper half. */
export function textOf(address: usize, size: usize): u64 {
  return ((<u64>size) << 32) | (<u64>address);
}

export function addressOf(text: u64): usize {
  return <usize>text;
}

export function sizeOf(text: u64): usize {
  return <usize>(text >>> 32);
}

/** A word with ones in its lowest `size` bytes, for size 1 to 8. */
export function wordMask(size: usize): u64 {
  return 0xffffffffffffffff >>> ((<u64>(8 - size)) << 3);
}

/** The index of the lowest byte of a word whose high bit is set in `bits`; 8 when there is none. */
export function firstMarked(bits: u64): usize {
  return <usize>(ctz(bits) >>> 3);
}

/** The hash of a key, from its first 8 bytes (others zero) and its size; host/compiler/ruleset.ts computes the same. */
export function hashKey(prefix: u64, size: usize): u64 {
  return (prefix ^ ((<u64>size) << 56)) * HASH_FACTOR;
}

/** The hash of value tables; host/compiler/ruleset.ts computes the same. Up to 16 bytes it is one multiplication. */
export function hashValue(at: usize, size: usize): u64 {
  if (size < 8) return hashKey(size == 0 ? 0 : load<u64>(at) & wordMask(size), size);
  if (size > 16) return hashText(at, size);
  return hashKey(load<u64>(at) ^ rotl<u64>(load<u64>(at + size - 8), 29), size);
}

/** A hash of every byte; host/compiler/ruleset.ts computes the same. */
export function hashText(at: usize, size: usize): u64 {
  let hash = <u64>size;
  for (; size > 8; size -= 8) {
    hash = (hash ^ load<u64>(at)) * HASH_FACTOR;
    hash ^= hash >>> 32;
    at += 8;
  }
  if (size != 0) hash ^= load<u64>(at) & wordMask(size);
  hash *= HASH_FACTOR;
  hash ^= hash >>> 32;
  return hash * HASH_FACTOR;
}

/** Copies a run. Up to 7 bytes after it may be overwritten: a call to memory.copy costs more than a short loop. */
export function copyBytes(target: usize, source: usize, size: usize): void {
  if (size > 64) {
    memory.copy(target, source, size);
    return;
  }
  for (let i: usize = 0; i < size; i += 8) store<u64>(target + i, load<u64>(source + i));
}

/** Writes zeros over whole words. */
export function clearWords(target: usize, size: usize): void {
  if (size > 256) {
    memory.fill(target, 0, size);
    return;
  }
  for (let i: usize = 0; i < size; i += 8) store<u64>(target + i, 0);
}

export function sameBytes(a: usize, b: usize, size: usize): bool {
  for (; size > 8; size -= 8) {
    if (load<u64>(a) != load<u64>(b)) return false;
    a += 8;
    b += 8;
  }
  return size == 0 || ((load<u64>(a) ^ load<u64>(b)) & wordMask(size)) == 0;
}

/** The address of the first byte that is `byte`, or `end`. */
export function findByte(at: usize, end: usize, byte: u32): usize {
  const pattern = <u64>byte * ONES;
  while (at < end) {
    const word = load<u64>(at) ^ pattern;
    const hits = (word - ONES) & ~word & HIGHS;
    if (hits != 0) return min(at + firstMarked(hits), end);
    at += 8;
  }
  return end;
}
