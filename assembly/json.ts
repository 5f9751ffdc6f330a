// The grammar of JSON over bytes, in place. Every function takes an address and the end of the record
// and returns the address after what it read, or 0 when the bytes are not JSON. Wide loads may read
// up to 7 bytes after the end (memory keeps SLACK there); no decision depends on those bytes.
//
// Two things are more liberal than the grammar, because loggers write them: raw control characters and bytes that are not UTF-8 are
// allowed inside strings. Such a byte reads as U+FFFD, as Go's encoding/json reads it.
import * as layout from './layout';
import { firstMarked, wordMask } from './bytes';

export const QUOTE: u32 = 0x22;
export const COMMA: u32 = 0x2c;
export const COLON: u32 = 0x3a;
export const OPEN_BRACKET: u32 = 0x5b;
export const CLOSE_BRACKET: u32 = 0x5d;
export const OPEN_BRACE: u32 = 0x7b;
export const CLOSE_BRACE: u32 = 0x7d;
export const BACKSLASH: u32 = 0x5c;

const ONES: u64 = 0x0101010101010101;
const HIGHS: u64 = 0x8080808080808080;
const QUOTES: u64 = 0x2222222222222222;
const BACKSLASHES: u64 = 0x5c5c5c5c5c5c5c5c;
const WORD_TRUE: u32 = 0x65757274;
const WORD_ALSE: u32 = 0x65736c61;
const WORD_NULL: u32 = 0x6c6c756e;

/** Most often there is none: this much is asked where it is called. */
export function skipSpace(at: usize, end: usize): usize {
  return at < end && load<u8>(at) > 0x20 ? at : skipSpaces(at, end);
}

function skipSpaces(at: usize, end: usize): usize {
  while (at < end) {
    const byte = load<u8>(at);
    if (byte > 0x20 || (byte != 0x20 && byte != 0x0a && byte != 0x0d && byte != 0x09)) break;
    at++;
  }
  return at;
}

let escapes: u32 = 0;

/** Escapes that `skipString` has met so far: when the count did not grow, a string's bytes are its text. */
export function escapeCount(): u32 {
  return escapes;
}

/** Skips from after the opening quote to the closing quote itself. */
export function skipString(at: usize, end: usize): usize {
  while (at < end) {
    const word = load<u64>(at);
    const quotes = word ^ QUOTES;
    const backslashes = word ^ BACKSLASHES;
    // The lowest bit is exact; bits above it may be false, and are not used.
    const hits = (((quotes - ONES) & ~quotes) | ((backslashes - ONES) & ~backslashes)) & HIGHS;
    if (hits == 0) {
      at += 8;
      continue;
    }
    at += firstMarked(hits);
    if (at >= end) return 0;
    if (load<u8>(at) == QUOTE) return at;
    escapes++;
    if (load<u8>(escapeLetters + load<u8>(at, 1)) == 0) {
      at = skipUnicodeEscape(at, end);
      if (at == 0) return 0;
    } else {
      at += 2;
    }
  }
  return 0;
}

// 1 for what may come after a backslash: " \ / b f n r t
// prettier-ignore
const escapeLetters: usize = memory.data<u8>([
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0,
  0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
  0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
]);

/** Skips from the backslash of `\uXXXX` to after its digits; 0 when they are not four digits. */
function skipUnicodeEscape(at: usize, end: usize): usize {
  return at + 6 <= end && load<u8>(at, 1) == 0x75 && hex4(at + 2) >= 0 ? at + 6 : 0;
}

/** The value of four hexadecimal digits, or less than 0. */
function hex4(at: usize): i32 {
  return (
    (hex(load<u8>(at)) << 12) |
    (hex(load<u8>(at, 1)) << 8) |
    (hex(load<u8>(at, 2)) << 4) |
    hex(load<u8>(at, 3))
  );
}

function hex(byte: u32): i32 {
  if (byte - 0x30 < 10) return byte - 0x30;
  const letter = (byte | 0x20) - 0x61;
  return letter < 6 ? letter + 10 : i32.MIN_VALUE >> 16; // stays negative after any shift in hex4
}

function isDigit(at: usize, end: usize): bool {
  return at < end && <u32>load<u8>(at) - 0x30 < 10;
}

function skipDigits(at: usize, end: usize): usize {
  while (at < end) {
    const word = load<u64>(at);
    // The highest bit of each byte that is not 0x30 … 0x39; exact up to the lowest.
    const others = ((word + 0x4646464646464646) | (word - 0x3030303030303030) | word) & HIGHS;
    if (others != 0) return min(at + firstMarked(others), end);
    at += 8;
  }
  return end;
}

export function skipNumber(at: usize, end: usize): usize {
  if (load<u8>(at) == 0x2d) at++;
  if (!isDigit(at, end)) return 0;
  at = load<u8>(at) == 0x30 ? at + 1 : skipDigits(at, end);
  if (at < end && load<u8>(at) == 0x2e) {
    if (!isDigit(at + 1, end)) return 0;
    at = skipDigits(at + 1, end);
  }
  if (at < end && (load<u8>(at) | 0x20) == 0x65) {
    at++;
    if (at < end && (load<u8>(at) == 0x2b || load<u8>(at) == 0x2d)) at++;
    if (!isDigit(at, end)) return 0;
    at = skipDigits(at, end);
  }
  return at;
}

/** The type of the value that begins with this byte; TYPE_NUMBER for everything else. */
export function typeAt(at: usize): u32 {
  switch (load<u8>(at)) {
    case 0x22:
      return layout.TYPE_STRING;
    case 0x7b:
      return layout.TYPE_OBJECT;
    case 0x5b:
      return layout.TYPE_ARRAY;
    case 0x74:
      return layout.TYPE_TRUE;
    case 0x66:
      return layout.TYPE_FALSE;
    case 0x6e:
      return layout.TYPE_NULL;
    default:
      return layout.TYPE_NUMBER;
  }
}

/** Skips a string, number, true, false or null. */
function skipScalar(at: usize, end: usize): usize {
  switch (load<u8>(at)) {
    case 0x22: {
      const quote = skipString(at + 1, end);
      return quote ? quote + 1 : 0;
    }
    case 0x74:
      return at + 4 <= end && load<u32>(at) == WORD_TRUE ? at + 4 : 0;
    case 0x66:
      return at + 5 <= end && load<u32>(at, 1) == WORD_ALSE ? at + 5 : 0;
    case 0x6e:
      return at + 4 <= end && load<u32>(at) == WORD_NULL ? at + 4 : 0;
    default:
      return skipNumber(at, end);
  }
}

/** Skips from a key's opening quote to after the colon. */
function skipKey(at: usize, end: usize): usize {
  if (at >= end || load<u8>(at) != QUOTE) return 0;
  const quote = skipString(at + 1, end);
  if (quote == 0) return 0;
  at = skipSpace(quote + 1, end);
  return at < end && load<u8>(at) == COLON ? at + 1 : 0;
}

// A bit for each open container: 1 an object, 0 an array.
const nesting: usize = memory.data(layout.NESTING_MAX / 8);

/** Whether the container at this depth is an object. */
export function isObject(depth: u32): bool {
  return (load<u8>(nesting + (depth >>> 3)) & (1 << (depth & 7))) != 0;
}

export function push(depth: u32, object: bool): void {
  const at = nesting + (depth >>> 3);
  const bit: u32 = 1 << (depth & 7);
  store<u8>(at, object ? load<u8>(at) | bit : load<u8>(at) & ~bit);
}

/** Skips any value, from its first byte. A loop with a stack of bits, not recursion: the input decides the depth. */
export function skipValue(at: usize, end: usize): usize {
  let depth: u32 = 0;
  while (at < end) {
    // Here a value begins.
    const byte = load<u8>(at);
    if (byte == OPEN_BRACE || byte == OPEN_BRACKET) {
      const object = byte == OPEN_BRACE;
      if (depth == layout.NESTING_MAX) return 0;
      at = skipSpace(at + 1, end);
      if (at >= end) return 0;
      if (load<u8>(at) != byte + 2) {
        push(depth++, object);
        if (object) at = skipKey(at, end);
        if (at == 0) return 0;
        at = skipSpace(at, end);
        continue;
      }
      at++;
    } else {
      at = skipScalar(at, end);
      if (at == 0) return 0;
    }
    // Here a value has ended: close what ends with it.
    for (;;) {
      if (depth == 0) return at;
      at = skipSpace(at, end);
      if (at >= end) return 0;
      const object = isObject(depth - 1);
      const next = load<u8>(at);
      if (next == COMMA) {
        at = skipSpace(at + 1, end);
        if (object) at = skipKey(at, end);
        if (at == 0) return 0;
        at = skipSpace(at, end);
        break;
      }
      if (next != (object ? CLOSE_BRACE : CLOSE_BRACKET)) return 0;
      depth--;
      at++;
    }
  }
  return 0;
}

/** True when the bytes are ASCII without an escape: the text is the string itself. */
export function isPlain(at: usize, end: usize): bool {
  for (; at + 8 <= end; at += 8) {
    if (specialBits(load<u64>(at)) != 0) return false;
  }
  // Bytes after the end are masked to zeros, which are plain.
  return at == end || specialBits(load<u64>(at) & wordMask(end - at)) == 0;
}

/** The high bit of each byte that is a backslash or not ASCII; exact up to the lowest. */
function specialBits(word: u64): u64 {
  const backslashes = word ^ BACKSLASHES;
  return (((backslashes - ONES) & ~backslashes) | word) & HIGHS;
}

/** The size of the UTF-8 sequence at `at` (1 to 4 bytes), or 0 when it is not UTF-8 (Unicode, table 3-7). */
export function sequenceSize(at: usize, end: usize): usize {
  const lead = <u32>load<u8>(at);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const size: usize = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  if (at + size > end) return 0;
  const second = <u32>load<u8>(at, 1);
  const low: u32 = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const high: u32 = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (second < low || second > high) return 0;
  for (let i: usize = 2; i < size; i++) {
    if ((load<u8>(at + i) & 0xc0) != 0x80) return 0;
  }
  return size;
}

/** The code point of a sequence that `sequenceSize` found to be valid. */
export function codePoint(at: usize, size: usize): u32 {
  const lead = <u32>load<u8>(at);
  if (size == 1) return lead;
  const second = (<u32>load<u8>(at, 1)) & 0x3f;
  if (size == 2) return ((lead & 0x1f) << 6) | second;
  const third = (<u32>load<u8>(at, 2)) & 0x3f;
  if (size == 3) return ((lead & 0x0f) << 12) | (second << 6) | third;
  return ((lead & 0x07) << 18) | (second << 12) | (third << 6) | ((<u32>load<u8>(at, 3)) & 0x3f);
}

/** Bytes that `decode` or `copyValid` may need: each byte that is not UTF-8 becomes three. */
export function decodedSizeMax(at: usize, end: usize): usize {
  let size = end - at;
  while (at < end) {
    if ((load<u64>(at) & HIGHS) == 0) {
      at += 8;
      continue;
    }
    const sequence = sequenceSize(at, end);
    if (sequence == 0) size += 2;
    at += max(sequence, 1);
  }
  return size;
}

/** Writes the text of a string's bytes (between the quotes, already skipped once) and returns its end. */
export function decode(at: usize, end: usize, target: usize): usize {
  while (at < end) {
    const word = load<u64>(at);
    const special = specialBits(word);
    store<u64>(target, word); // the part that is not taken is overwritten, or is in SLACK
    // Not one `min` for both cases: a predicted branch costs less than waiting for the count.
    const taken = special == 0 ? min(end - at, 8) : min(end - at, firstMarked(special));
    at += taken;
    target += taken;
    if (special == 0 || at == end) continue;
    const byte = <u32>load<u8>(at);
    if (byte == BACKSLASH) {
      const escape = <u32>load<u8>(at, 1);
      if (escape == 0x75) {
        let code = hex4(at + 2);
        at += 6;
        if ((code & 0xfc00) == 0xd800 && at + 6 <= end && load<u16>(at) == 0x755c) {
          const low = hex4(at + 2);
          if (low >= 0 && (low & 0xfc00) == 0xdc00) {
            code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
            at += 6;
          }
        }
        target = writeCodePoint(target, (code & 0xfffff800) == 0xd800 ? 0xfffd : code);
      } else {
        store<u8>(target++, unescape(escape));
        at += 2;
      }
      continue;
    }
    const size = sequenceSize(at, end);
    if (size == 0) {
      target = writeCodePoint(target, 0xfffd);
      at++;
      continue;
    }
    store<u32>(target, load<u32>(at));
    target += size;
    at += size;
  }
  return target;
}

/** Copies JSON, with U+FFFD for each byte that is not UTF-8, and returns the end of the copy. */
export function copyValid(at: usize, end: usize, target: usize): usize {
  while (at < end) {
    const size = sequenceSize(at, end);
    if (size == 0) {
      target = writeCodePoint(target, 0xfffd);
      at++;
      continue;
    }
    store<u32>(target, load<u32>(at));
    target += size;
    at += size;
  }
  return target;
}

function unescape(letter: u32): u32 {
  switch (letter) {
    case 0x62:
      return 0x08;
    case 0x66:
      return 0x0c;
    case 0x6e:
      return 0x0a;
    case 0x72:
      return 0x0d;
    case 0x74:
      return 0x09;
    default:
      return letter;
  }
}

/** Writes a code point as UTF-8 and returns the address after it. */
export function writeCodePoint(target: usize, code: u32): usize {
  if (code < 0x80) {
    store<u8>(target, code);
    return target + 1;
  }
  if (code < 0x800) {
    store<u8>(target, 0xc0 | (code >>> 6));
    store<u8>(target, 0x80 | (code & 0x3f), 1);
    return target + 2;
  }
  if (code < 0x10000) {
    store<u8>(target, 0xe0 | (code >>> 12));
    store<u8>(target, 0x80 | ((code >>> 6) & 0x3f), 1);
    store<u8>(target, 0x80 | (code & 0x3f), 2);
    return target + 3;
  }
  store<u8>(target, 0xf0 | (code >>> 18));
  store<u8>(target, 0x80 | ((code >>> 12) & 0x3f), 1);
  store<u8>(target, 0x80 | ((code >>> 6) & 0x3f), 2);
  store<u8>(target, 0x80 | (code & 0x3f), 3);
  return target + 4;
}
