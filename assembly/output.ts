// A growing run of bytes in the arena, and JSON strings written into it as Go's encoding/json writes them
// (`<`, `>`, `&`, U+2028 and U+2029 escaped), because the alert is Go's template.Data.
import * as layout from './layout';
import { addressOf, copyBytes, firstMarked, sizeOf, textOf } from './bytes';
import { RULESET, allocate, markExhausted, resize } from './memory';
import { writeTime } from './time';

let start: usize = 0;
let at: usize = 0;
let room: usize = 0; // the address after the block

/** Begins an output that is likely to take at most `size` bytes. */
export function beginOutput(size: usize): void {
  start = allocate(size);
  at = start;
  room = start == 0 ? 0 : start + size;
}

export function outputStart(): usize {
  return start;
}

export function outputSize(): usize {
  return at - start;
}

/** Makes room for `size` more bytes. The output is the arena's last block while it is written. */
function ensure(size: u64): bool {
  if (size <= <u64>(room - at)) return true;
  return room != 0 && grow(<u64>(at - start) + size);
}

/** Grows to at least twice the size, so that a long output is not moved again for each piece. */
function grow(size: u64): bool {
  const wanted = max(size, (<u64>(room - start)) << 1);
  if (wanted > u32.MAX_VALUE) {
    markExhausted();
    return false;
  }
  if (!resize(start, <usize>wanted)) return false;
  room = start + <usize>wanted;
  return true;
}

export function write(source: usize, size: usize): void {
  if (!ensure(size)) return;
  copyBytes(at, source, size);
  at += size;
}

export function writeByte(byte: u32): void {
  if (!ensure(1)) return;
  store<u8>(at++, byte);
}

/** Bytes written so far; `repeat` writes those from `mark` to `end` again. */
export function outputMark(): usize {
  return at - start;
}

export function repeat(mark: usize, end: usize): void {
  if (!ensure(end - mark)) return;
  memory.copy(at, start + mark, end - mark);
  at += end - mark;
}

/** Room for bytes that the caller writes itself: `reserve(24)`, write there, `advance(24)`. */
export function reserve(size: usize): usize {
  return ensure(size) ? at : 0;
}

export function advance(size: usize): void {
  at += size;
}

/** Writes one of TEXT_…. */
export function writeConstant(index: usize): void {
  const text = constantOf(index);
  write(addressOf(text), sizeOf(text));
}

/** One of TEXT_…, as a reference. */
export function constantOf(index: usize): u64 {
  const entry = RULESET + load<u32>(RULESET, layout.HEADER_TEXTS_OFFSET) + index * layout.TEXT_ENTRY_SIZE;
  return textOf(RULESET + load<u32>(entry, layout.TEXT_OFFSET), load<u32>(entry, layout.TEXT_SIZE));
}

/** 16 hexadecimal digits, the highest first. */
export function writeHash(hash: u64): void {
  const target = reserve(16);
  if (target == 0) return;
  for (let i: usize = 0; i < 16; i++) store<u8>(target + i, hexDigit(<u32>(hash >>> (<u64>(60 - (i << 2))))));
  advance(16);
}

/** A time as RFC 3339 has it, in milliseconds and UTC. */
export function writeMoment(ms: i64): void {
  const target = reserve(24);
  if (target == 0) return;
  writeTime(target, ms);
  advance(24);
}

/** Takes back the last bytes that were written. */
export function retreat(size: usize): void {
  at -= size;
}

/** Writes a text (valid UTF-8) as a JSON string, quotes included. */
export function writeString(source: usize, size: usize): void {
  if (ensure(stringSizeMax(size))) at = putString(at, source, size);
}

/** Writes a key, which is JSON already, and after it a text as a JSON string. */
export function writeMember(key: usize, keySize: usize, source: usize, size: usize): void {
  if (!ensure(<u64>keySize + stringSizeMax(size))) return;
  copyBytes(at, key, keySize);
  at = putString(at + keySize, source, size);
}

/** What a byte can become in a JSON string: \u00XX is the longest. */
export const JSON_BYTE_SIZE_MAX: usize = 6;

/** What a text can need as a JSON string. */
function stringSizeMax(size: usize): u64 {
  return <u64>size * JSON_BYTE_SIZE_MAX + 2;
}

/** Writes JSON that this file wrote as a string: only quotes and backslashes are left to escape. */
export function writeJsonAsString(source: usize, size: usize): void {
  if (!ensure(<u64>size * 2 + 2)) return;
  const end = source + size;
  let target = at;
  store<u8>(target++, 0x22);
  while (source < end) {
    const word = load<u64>(source);
    const quotes = word ^ (ONES * 0x22);
    const backslashes = word ^ (ONES * 0x5c);
    const escapes = (((quotes - ONES) & ~quotes) | ((backslashes - ONES) & ~backslashes)) & HIGHS;
    store<u64>(target, word); // the part that is not taken is overwritten
    const taken = escapes == 0 ? min(end - source, 8) : min(end - source, firstMarked(escapes));
    source += taken;
    target += taken;
    if (escapes == 0 || source == end) continue;
    store<u16>(target, ((<u16>load<u8>(source)) << 8) | 0x5c);
    source++;
    target += 2;
  }
  store<u8>(target++, 0x22);
  at = target;
}

/** Writes a JSON string where there is room for it, and returns its end. */
function putString(target: usize, source: usize, size: usize): usize {
  store<u8>(target++, 0x22);
  const end = source + size;
  while (source < end) {
    const word = load<u64>(source);
    const escapes = escapeBits(word);
    store<u64>(target, word); // the part that is not taken is overwritten
    // Not one `min` for both cases: a predicted branch costs less than waiting for the count.
    const taken = escapes == 0 ? min(end - source, 8) : min(end - source, firstMarked(escapes));
    source += taken;
    target += taken;
    if (escapes == 0 || source == end) continue;
    const byte = <u32>load<u8>(source);
    if (byte != 0xe2) {
      target = writeEscape(target, byte);
      source++;
    } else if (isLineSeparator(source, end)) {
      target = writeUnicode(target, 0x2000 | (load<u8>(source, 2) & 0x3f));
      source += 3;
    } else {
      store<u8>(target++, byte);
      source++;
    }
  }
  store<u8>(target++, 0x22);
  return target;
}

const ONES: u64 = 0x0101010101010101;
const HIGHS: u64 = 0x8080808080808080;

/** The high bit of each byte below 0x20, of `"`, `&`, `<`, `>`, the backslash, and of e2; exact up to the lowest. */
function escapeBits(word: u64): u64 {
  const quotes = (word | (ONES * 4)) ^ (ONES * 0x26); // 22 and 26
  const angles = (word | (ONES * 2)) ^ (ONES * 0x3e); // 3c and 3e
  const backslashes = word ^ (ONES * 0x5c);
  const separators = word ^ (ONES * 0xe2); // U+2028 and U+2029 begin with it
  const low = (word - ONES * 0x20) & ~word;
  const equal =
    ((quotes - ONES) & ~quotes) |
    ((angles - ONES) & ~angles) |
    ((backslashes - ONES) & ~backslashes) |
    ((separators - ONES) & ~separators);
  return (low | equal) & HIGHS;
}

/** U+2028 and U+2029 are e2 80 a8 and e2 80 a9. */
function isLineSeparator(source: usize, end: usize): bool {
  return source + 2 < end && load<u8>(source, 1) == 0x80 && (load<u8>(source, 2) | 1) == 0xa9;
}

function writeEscape(target: usize, byte: u32): usize {
  let letter: u32 = 0;
  switch (byte) {
    case 0x22:
    case 0x5c:
      letter = byte;
      break;
    case 0x08:
      letter = 0x62; // b
      break;
    case 0x0c:
      letter = 0x66; // f
      break;
    case 0x0a:
      letter = 0x6e; // n
      break;
    case 0x0d:
      letter = 0x72; // r
      break;
    case 0x09:
      letter = 0x74; // t
      break;
    default:
      return writeUnicode(target, byte);
  }
  store<u8>(target, 0x5c);
  store<u8>(target, letter, 1);
  return target + 2;
}

function writeUnicode(target: usize, code: u32): usize {
  store<u16>(target, 0x755c); // \u
  for (let shift = 12; shift >= 0; shift -= 4) {
    store<u8>(target + 2 + ((12 - shift) >>> 2), hexDigit(code >>> shift));
  }
  return target + 6;
}

export function hexDigit(value: u32): u32 {
  const digit = value & 15;
  return 0x30 + digit + ((digit + 6) >>> 4) * 39; // 39 from after 9 to a
}
