// Fluent Bit writes a record as JSON, and what JSON does not have it writes in a way of its own (src/flb_pack.c,
// msgpack2json). Here that becomes JSON:
//
//   nan, -nan, inf, -inf              a string of that name
//   5: null: true: {"a":1}: as keys   the same text as a string
//   "\x61\xffffff80" (binary)         the same text: the backslash is escaped
//
// This is for records that were found to be no JSON. What else is wrong with them is still wrong afterwards.
import * as layout from './layout';
import {
  CLOSE_BRACE,
  CLOSE_BRACKET,
  COLON,
  COMMA,
  BACKSLASH,
  OPEN_BRACE,
  OPEN_BRACKET,
  QUOTE,
  skipSpace,
  skipValue,
} from './json';
import { isExhausted } from './memory';
import { beginOutput, write, writeByte, writeString } from './output';

const ESCAPES_ROOM: usize = 64;
const LETTER_X: u32 = 0x78;
const MINUS: u32 = 0x2d;

// A bit for each open container: 1 an object, 0 an array.
const nesting: usize = memory.data(layout.NESTING_MAX / 8);

/** Writes Fluent Bit's record at `at` … `end` as JSON, as the output. False when it can't, or there is no memory. */
export function writeAsJson(at: usize, end: usize): bool {
  beginOutput(end - at + ESCAPES_ROOM);
  let depth: u32 = 0;
  let isKey = false; // one comes next
  while (at < end) {
    const byte = <u32>load<u8>(at);
    if (byte == QUOTE) {
      at = copyString(at, end);
      if (at == 0) return false;
      isKey = false;
    } else if (isKey && byte != CLOSE_BRACE && skipSpace(at, end) == at) {
      const isNested = byte == OPEN_BRACE || byte == OPEN_BRACKET;
      const after = isNested ? endOfNested(at, end) : endOfWord(at, end);
      if (!isNested && !isWord(at, after)) return false;
      writeString(at, after - at);
      at = after;
      isKey = false;
    } else if (byte == OPEN_BRACE || byte == OPEN_BRACKET) {
      if (depth == layout.NESTING_MAX) return false;
      isKey = byte == OPEN_BRACE;
      push(depth++, isKey);
      writeByte(byte);
      at++;
    } else if (byte == CLOSE_BRACE || byte == CLOSE_BRACKET) {
      if (depth == 0) return false;
      depth--;
      isKey = false;
      writeByte(byte);
      at++;
    } else if (byte == COMMA || byte == COLON || skipSpace(at, end) != at) {
      if (byte == COMMA) isKey = depth != 0 && isObject(depth - 1);
      writeByte(byte);
      at++;
    } else {
      const after = endOfWord(at, end);
      if (isNoNumber(at, after)) writeString(at, after - at);
      else write(at, after - at);
      at = after;
    }
  }
  return !isExhausted();
}

function isObject(depth: u32): bool {
  return (load<u8>(nesting + (depth >>> 3)) & (1 << (depth & 7))) != 0;
}

function push(depth: u32, object: bool): void {
  const at = nesting + (depth >>> 3);
  const bit: u32 = 1 << (depth & 7);
  store<u8>(at, object ? load<u8>(at) | bit : load<u8>(at) & ~bit);
}

const WORD_NAN: u32 = 0x6e616e;
const WORD_INF: u32 = 0x666e69;
const WORD_MASK: u32 = 0xffffff;

/** nan or inf, with or without a sign. */
function isNoNumber(at: usize, end: usize): bool {
  if (load<u8>(at) == MINUS) at++;
  const word = load<u32>(at) & WORD_MASK;
  return at + 3 == end && (word == WORD_NAN || word == WORD_INF);
}

/** What Fluent Bit writes for a key that is no string, array or map. */
function isWord(at: usize, end: usize): bool {
  return isNoNumber(at, end) || skipValue(at, end) == end;
}

/** The end of a number or a word. */
function endOfWord(at: usize, end: usize): usize {
  for (at++; at < end; at++) {
    const byte = <u32>load<u8>(at);
    if (byte == COMMA || byte == CLOSE_BRACE || byte == CLOSE_BRACKET || byte == COLON) break;
    if (skipSpace(at, end) != at) break;
  }
  return at;
}

/** The byte after the array or object that begins at `at`, or `end`. */
function endOfNested(at: usize, end: usize): usize {
  let depth: u32 = 0;
  while (at < end) {
    const byte = <u32>load<u8>(at);
    if (byte == QUOTE) {
      at = endOfString(at, end);
      continue;
    }
    at++;
    if (byte == OPEN_BRACE || byte == OPEN_BRACKET) depth++;
    if ((byte == CLOSE_BRACE || byte == CLOSE_BRACKET) && --depth == 0) return at;
  }
  return end;
}

/** The byte after a string's closing quote, or `end`. */
function endOfString(at: usize, end: usize): usize {
  for (at++; at < end; at++) {
    const byte = <u32>load<u8>(at);
    if (byte == QUOTE) return at + 1;
    if (byte == BACKSLASH) at++;
  }
  return end;
}

/** Copies a string and returns the byte after it; 0 when it does not end. */
function copyString(at: usize, end: usize): usize {
  let start = at; // of what is not copied yet
  for (at++; at < end; at++) {
    const byte = <u32>load<u8>(at);
    if (byte == QUOTE) {
      write(start, at + 1 - start);
      return at + 1;
    }
    if (byte != BACKSLASH) continue;
    if (at + 1 < end && load<u8>(at, 1) == LETTER_X) {
      write(start, at + 1 - start); // and again, with what comes next
      start = at;
    }
    at++;
  }
  return 0;
}
